"""Tiles of a dataset sheet, and the share of similar neighbors."""

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg

from depthbox.config.defaults import add_depthbox_config
from depthbox.modeling.supervision.boxes import COLOR, BoxSupervision
from depthbox.ops import unpack_edges
from depthbox.structures import Annotations
from depthbox.visualization.dataset_sheet import color_edge_share


@pytest.fixture(scope="module")
def cfg():
    cfg = get_cfg()
    add_depthbox_config(cfg)
    return cfg


def test_similar_neighbors_of_an_image_of_two_colors(cfg):
    image = np.full((80, 96, 3), 255, np.uint8)
    image[:, 48:] = 0
    share = color_edge_share(cfg, image, 80)
    assert share.shape == (20, 24)
    assert (share[5, 2:10] == 1).all() and (share[5, 14:22] == 1).all()
    assert share[5, 11] == share[5, 12] == 5 / 8  # the three neighbors beyond the edge differ
    assert share[0, 0] == 3 / 8  # a corner has three neighbors inside the image


def test_removed_bottom_pixels_are_not_neighbors(cfg):
    image = np.zeros((80, 96, 3), np.uint8)
    # 10 of 80 pixel rows are removed. Cells sample rows 2, 6, ..., so the cells of rows 70, 74, 78 are invalid.
    share = color_edge_share(cfg, image, 80)
    assert share[14, 10] == 1 and share[15, 10] == share[16, 10] == 5 / 8
    # The number refers to the original height: at twice the height, half as many rows are removed.
    assert color_edge_share(cfg, image, 160)[15, 10] == 1


def test_the_share_equals_that_of_training(cfg):
    image = np.random.default_rng(0).integers(90, 130, (80, 96, 3)).astype(np.uint8)
    rgb = cfg.clone()
    rgb.INPUT.FORMAT = "RGB"
    batch = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    boxes = [torch.tensor([[10.0, 10.0, 50.0, 60.0]])]
    targets = BoxSupervision(rgb).targets(batch, [(80, 96)], Annotations([100], boxes, []))
    trained = unpack_edges(targets.edges[COLOR]).float().mean(dim=1)[0].numpy()
    share = color_edge_share(cfg, image, 100)
    assert 0.05 < share.mean() < 0.95
    np.testing.assert_array_equal(share, trained)
