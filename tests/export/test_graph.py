"""Graph of the network in plain torch, compared with the network, before export."""

from collections.abc import Callable

import pytest
import torch
from export_toy import config, random_network

from depthbox.export import ExportGraph, ExportInput, check_runner


@pytest.mark.parametrize("words", [(), ("MODEL.DEPTH.LAYER", "False", "INPUT.FORMAT", "RGB")])
def test_graph_equals_the_network(words: tuple[str, ...], make_inputs: Callable[[], list[ExportInput]]) -> None:
    cfg = config(*words)
    model = random_network(cfg)
    graph = ExportGraph(model, cfg.INPUT.FORMAT)

    def run(image: ExportInput) -> dict:
        with torch.no_grad():
            values = graph(*(torch.as_tensor(x) for x in (image.image, image.valid, image.size)))
        return dict(zip(graph.outputs, (x.numpy() for x in values), strict=True))

    report = check_runner(model, graph.flip, run, make_inputs())
    assert not report.failures and report.unmatched == 0
    assert report.detections > 20
    assert report.mask_iou >= 0.999


def test_the_network_is_not_changed() -> None:
    model = random_network(config("MODEL.CHANNELS_LAST", "True"))
    weight = model.mask_branch.tower[0][0].weight
    graph = ExportGraph(model, "RGB")
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert graph.model.mask_branch.tower[0][0].weight is not weight
