"""Class maps: probabilities of present classes, renumbering and cleaning by points."""

import torch

from depthbox.modeling.points.class_map import (
    PointLabels,
    clean_class_map,
    compact_labels,
    compact_probabilities,
    draw_discs,
    upsample_grid,
)

CLASSES = torch.tensor([4, 1, 4])


def test_absent_classes_take_no_part() -> None:
    logits = torch.randn(6, 3, 2, dtype=torch.float64)
    found = compact_probabilities(logits, CLASSES)
    torch.testing.assert_close(found, logits[[0, 2, 5]].softmax(0))
    assert torch.equal(compact_probabilities(logits, CLASSES[:0]), torch.ones(1, 3, 2, dtype=torch.float64))


def test_labels_get_the_number_of_their_channel() -> None:
    found = compact_labels(torch.tensor([[0, 2, 5, 1, 255]]), CLASSES)
    assert found.tolist() == [[0, 1, 2, 255, 255]]
    assert compact_labels(torch.tensor([[0, 2]]), CLASSES[:0]).tolist() == [[0, 255]]


def test_upsampling_keeps_cells_of_four_pixels() -> None:
    maps = torch.arange(6.0).view(1, 2, 3)
    full = upsample_grid(maps, (7, 10))
    assert full.shape == (1, 7, 10) and full[0, 0, 0] == 0
    assert full[0, 1:3, 1:3].mean() < 1 and full[0, 6, 9] > 4


def label(size: tuple[int, int] = (20, 30)) -> PointLabels:
    points = torch.tensor([[4.5, 4.5], [20.5, 10.5]])
    return PointLabels(torch.zeros(size).long(), points, torch.tensor([0, 1]))


def probabilities(size: tuple[int, int] = (20, 30)) -> torch.Tensor:
    maps = torch.zeros(3, *size)
    maps[0] = 0.9
    maps[1, 2:8, 2:8] = maps[2, 6:15, 16:26] = 1.0
    maps[1, 15:18, 25:29] = 1.0  # a component without a point
    maps[:, 0, :] = torch.tensor([0.4, 0.3, 0.3])[:, None]
    return maps / maps.sum(0)


def test_uncertain_pixels_and_components_without_a_point_are_unknown() -> None:
    found = clean_class_map(probabilities(), label(), certain=0.5, seed_radius=0).class_map
    assert (found[0] == 255).all() and (found[15:18, 25:29] == 255).all()
    assert (found[2:8, 2:8] == 1).all() and (found[6:15, 16:26] == 2).all() and found[1, 1] == 0 and found[19, 0] == 0


def test_discs_around_points_are_forced() -> None:
    maps = torch.zeros(3, 20, 30)
    maps[0] = 1
    found = clean_class_map(maps, label(), certain=0.5, seed_radius=2).class_map
    assert found[4, 4] == found[6, 4] == found[4, 2] == 1 and found[7, 4] == found[6, 6] == 0
    assert found[10, 20] == found[8, 20] == 2 and (found == 1).sum() == (found == 2).sum() == 13


def test_regions_and_masks_limit_the_class_map() -> None:
    owner = torch.zeros(20, 30, dtype=torch.int64)
    owner[0:3, 10:14] = 1
    regions = torch.tensor([[2.0, 2.0, 6.0, 8.0], [0.0, 0.0, 30.0, 20.0]])
    limited = PointLabels(label().class_map, label().points, label().classes, regions, None)
    found = clean_class_map(probabilities(), limited, certain=0.5, seed_radius=0).class_map
    assert (found[2:8, 2:6] == 1).all() and (found[2:8, 6:8] == 255).all() and (found[6:15, 16:26] == 2).all()
    masked = PointLabels(label().class_map, torch.tensor([[12.5, 1.5], [20.5, 10.5]]), label().classes, None, owner)
    found = clean_class_map(probabilities(), masked, certain=0.5, seed_radius=0).class_map
    assert (found[0:3, 10:14] == 1).all() and (found[2:8, 2:8] == 255).all()


def test_discs_are_cut_at_the_border() -> None:
    found = draw_discs(
        torch.zeros(4, 5).long(), torch.tensor([[0.0, 0.0], [4.9, 3.9], [9.0, 9.0]]), torch.tensor([1, 2, 3]), 1
    )
    assert found.tolist() == [[1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 2], [0, 0, 0, 2, 2]]
