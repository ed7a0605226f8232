"""Heads of P2Seg: shapes, initial weights and feature maps that cannot be added."""

import pytest
import torch
from detectron2.layers import ShapeSpec

from depthbox.modeling.points.heads import PointHeads


def heads(channels: tuple[int, ...] = (8, 8), strides: tuple[int, ...] = (4, 8), **options: object) -> PointHeads:
    shapes = {
        f"p{i + 2}": ShapeSpec(channels=c, stride=s) for i, (c, s) in enumerate(zip(channels, strides, strict=True))
    }
    return PointHeads(shapes=shapes, num_classes=3, channels=6, affinity_channels=5, **options)  # type: ignore[arg-type]


def test_outputs_have_the_size_of_the_finest_level() -> None:
    features = {"p2": torch.randn(2, 8, 7, 5), "p3": torch.randn(2, 8, 4, 3)}
    outputs = heads()(features)
    assert outputs.class_logits.shape == (2, 4, 7, 5) and outputs.offsets.shape == (2, 2, 7, 5)
    assert outputs.features.shape == (2, 5, 7, 5) and outputs.centers is None
    centers = heads(centers=True)(features).centers
    assert centers is not None and centers.shape == (2, 3, 7, 5)


def test_levels_are_added() -> None:
    network = heads()
    fine, coarse = torch.randn(1, 8, 4, 4), torch.ones(1, 8, 2, 2)
    both = network({"p2": fine, "p3": coarse}).class_logits
    assert torch.allclose(both, network({"p2": fine + 1, "p3": 0 * coarse}).class_logits)


@pytest.mark.parametrize(
    ("channels", "strides"), [((8, 9), (4, 8)), ((8, 8), (8, 16)), ((8, 8), (4, 2))], ids=["width", "finest", "order"]
)
def test_levels_that_do_not_fit_are_refused(channels: tuple[int, int], strides: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"MODEL.P2SEG.IN_FEATURES is \['p2', 'p3'\] with strides"):
        heads(channels, strides)
