"""Actions of the page, called without a browser."""

import json
from pathlib import Path

import pytest

from depthbox.app.network import TrialNetwork
from depthbox.app.page import Actions

pytest.importorskip("gradio", reason="pip install 'depthbox[app]'")


def test_a_network_without_depth_is_reported(network: TrialNetwork, photo: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    cfg = network.cfg.clone()
    cfg.defrost()
    cfg.MODEL.DEPTH.LAYER = False
    actions = Actions(replace(network, cfg=cfg), tmp_path)
    record = {"path": str(photo), "name": "a.png"}
    result, view, file = actions.detect(record, 0.0, "Depth")
    assert "This network does not predict depth" in view and len(result.objects) == 5
    assert json.loads(Path(file.value["path"]).read_text())["images"][0]["file_name"] == "a.png"
    assert "No object has a score" in actions.show(record, result, 1.0, "Masks")[0]
    assert "tbody" in actions.show(record, result, 0.0, "Masks")[0]
