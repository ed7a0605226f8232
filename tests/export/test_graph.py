"""The wrapped network in plain torch against the network, before anything is exported."""

from collections.abc import Callable

import pytest
import torch
from export_toy import config, random_network

from depthbox.export import ExportGraph, Picture, check_runner


@pytest.mark.parametrize("words", [(), ("MODEL.DEPTH.LAYER", "False", "INPUT.FORMAT", "RGB")])
def test_gives_what_the_network_gives(words: tuple[str, ...], make_pictures: Callable[[], list[Picture]]) -> None:
    cfg = config(*words)
    model = random_network(cfg)
    graph = ExportGraph(model, cfg.INPUT.FORMAT)

    def run(picture: Picture) -> dict:
        with torch.no_grad():
            values = graph(*(torch.as_tensor(x) for x in (picture.image, picture.valid, picture.size)))
        return dict(zip(graph.outputs, (x.numpy() for x in values), strict=True))

    report = check_runner(model, graph.flip, run, make_pictures())
    assert not report.failures and report.unmatched == 0
    assert report.detections > 20
    assert report.mask_iou >= 0.999


def test_the_network_itself_is_left_as_it_is() -> None:
    model = random_network(config("MODEL.CHANNELS_LAST", "True"))
    weight = model.mask_branch.tower[0][0].weight
    graph = ExportGraph(model, "RGB")
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert graph.model.mask_branch.tower[0][0].weight is not weight
