"""Every config builds, and every key of DepthBox is read somewhere."""

import re
from pathlib import Path

import pytest
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model

from depthbox import add_depthbox_config

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted(path for path in (ROOT / "configs").rglob("*.yaml") if not path.name.startswith("Base"))


def leaves(node: CfgNode, prefix: str = "") -> set[str]:
    keys = set()
    for key, value in node.items():
        keys |= leaves(value, f"{prefix}{key}.") if isinstance(value, CfgNode) else {f"{prefix}{key}"}
    return keys


def test_there_are_configs() -> None:
    assert len(CONFIGS) >= 5


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT / "configs")))
def test_every_config_builds(path: Path) -> None:
    cfg = get_cfg()
    add_depthbox_config(cfg)
    cfg.merge_from_file(str(path))
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.TIMM.WEIGHTS = ""  # not part of the project
    model = build_model(cfg)
    expected = {"box": 233, "mask": 169}[cfg.MODEL.MASK_SUPERVISION]
    assert model.mask_head.num_params == model.controller.weight.shape[0] == expected
    assert model.proposal_generator.num_classes == cfg.MODEL.FCOS.NUM_CLASSES


def test_no_key_is_dead() -> None:
    before, after = get_cfg(), get_cfg()
    add_depthbox_config(after)
    added = leaves(after) - leaves(before)
    assert len(added) > 40
    source = "\n".join(
        path.read_text() for path in (ROOT / "depthbox").rglob("*.py") if path != ROOT / "depthbox" / "config.py"
    )
    dead = {
        key
        for key in added
        if not re.search(rf"[\w\]]\.{key.rsplit('.', 1)[-1]}\b|\"{key.rsplit('.', 1)[-1]}\"", source)
    }
    assert dead == set()


def test_adding_keys_changes_no_default_of_detectron2() -> None:
    before, after = get_cfg(), get_cfg()
    add_depthbox_config(after)
    for key in leaves(before):
        node_before, node_after = before, after
        for part in key.split("."):
            node_before, node_after = node_before[part], node_after[part]
        assert node_before == node_after, key
