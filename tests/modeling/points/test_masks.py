"""Masks of points: resizing, scaled offsets, grouping, component rule, scores and fallback boxes."""

import pytest
import torch
from grouping_toy import components_by_search, refined_owner_by_loop
from torch import Tensor
from torch.nn import functional as F

from depthbox.modeling.points import fallback_box, point_masks
from depthbox.modeling.points.masks import keep_near_components


def make_maps(classes: int = 3, height: int = 8, width: int = 10) -> tuple[Tensor, Tensor]:
    probabilities = (2 * torch.randn(classes + 1, height, width, dtype=torch.float64)).softmax(0)
    return probabilities, 3 * torch.randn(2, height, width, dtype=torch.float64)


@pytest.mark.parametrize("output", [(32, 40), (23, 51), (64, 20)])
def test_masks_and_scores_match_the_definition(output: tuple[int, int]) -> None:
    probabilities, offsets = make_maps()
    points = torch.rand(6, 2) * torch.tensor([output[1], output[0]])
    classes = torch.tensor([0, 2, 2, 0, 2, 0])  # class 1 is absent
    found = point_masks(
        probabilities, offsets, points, classes, input_size=(32, 40), output_size=output, keep_near=False
    )
    resized = F.interpolate(probabilities[None], size=output, mode="bilinear", align_corners=False)[0]
    resized[2] = -1
    scaled = F.interpolate(offsets[None], size=output, mode="bilinear", align_corners=False)[0]
    scaled = scaled * torch.tensor([output[0] / 32, output[1] / 40])[:, None, None]
    expected = refined_owner_by_loop(resized.argmax(0), scaled, points, classes)
    assert torch.equal(found.owner, expected)
    for i, c in enumerate(classes.tolist()):
        mask = expected == i + 1
        assert int(found.areas[i]) == int(mask.sum())
        score = float(resized[c + 1][mask].mean()) if mask.any() else 0.5
        assert float(found.scores[i]) == pytest.approx(score, abs=1e-6)


def test_the_padding_of_the_input_is_cut_off_and_does_not_move_the_image() -> None:
    whole = torch.zeros(2, 16, 24, dtype=torch.float64)
    whole[0], whole[1, 4:9, 6:13] = 0.5, 1
    offsets = torch.zeros(2, 16, 24, dtype=torch.float64)
    points, classes = torch.tensor([[35.0, 25.0]]), torch.tensor([0])
    full = point_masks(whole, offsets, points, classes, input_size=(64, 96), output_size=(64, 96))
    cropped = point_masks(whole, offsets, points, classes, input_size=(50, 70), output_size=(50, 70))
    assert torch.equal(cropped.owner, full.owner[:50, :70])
    assert 5 * 7 * 16 * 0.8 < int(full.areas[0]) < 5 * 7 * 16 * 1.3


def test_offsets_are_scaled_with_the_image_on_each_axis() -> None:
    probabilities = torch.zeros(2, 8, 16)
    probabilities[1] = 1
    offsets = torch.zeros(2, 8, 16)
    offsets[1] = 20.0  # input pixels to the right, 10 pixels of the original image
    points, classes = torch.tensor([[8.0, 16.0], [24.0, 16.0]]), torch.tensor([0, 0])
    owner = point_masks(
        probabilities, offsets, points, classes, input_size=(32, 64), output_size=(32, 32), keep_near=False
    ).owner
    assert owner[0].tolist() == [1] * 7 + [2] * 25  # x + 10 <= 16 is nearer to x = 8, and a tie goes to the first


def test_a_point_without_a_pixel_has_no_area_also_if_others_share_its_row_and_column() -> None:
    probabilities, offsets = torch.zeros(3, 8, 8), torch.zeros(2, 8, 8)
    probabilities[1] = 1
    points = torch.tensor([[4.0, 4.0], [4.0, 4.0], [4.0, 28.0], [28.0, 4.0], [9.0, 9.0]])
    classes = torch.tensor([0, 0, 0, 0, 1])
    found = point_masks(probabilities, offsets, points, classes, input_size=(32, 32), output_size=(32, 32))
    assert (found.areas > 0).tolist() == [True, False, True, True, False]
    assert found.scores.tolist() == [1, 0.5, 1, 1, 0.5]


def test_no_point_gives_empty_masks() -> None:
    probabilities, offsets = make_maps()
    found = point_masks(
        probabilities,
        offsets,
        torch.zeros(0, 2),
        torch.zeros(0, dtype=torch.long),
        input_size=(32, 40),
        output_size=(16, 20),
    )
    assert found.owner.shape == (16, 20) and not found.owner.any()
    assert found.scores.shape == found.areas.shape == (0,)


def test_regions_limit_the_masks() -> None:
    probabilities, offsets = torch.zeros(2, 8, 8), torch.zeros(2, 8, 8)
    probabilities[1] = 1
    owner = point_masks(
        probabilities,
        offsets,
        torch.tensor([[10.0, 10.0]]),
        torch.tensor([0]),
        input_size=(32, 32),
        output_size=(32, 32),
        regions=torch.tensor([[4.0, 6.0, 20.0, 25.0]]),
    ).owner
    assert owner.sum() == 16 * 19 and owner[6:25, 4:20].all()


@pytest.mark.parametrize("name", ["probabilities", "offsets"])
def test_values_that_are_not_finite_are_rejected(name: str) -> None:
    probabilities, offsets = make_maps()
    (probabilities if name == "probabilities" else offsets)[0, 1, 1] = float("nan")
    with pytest.raises(ValueError, match="must be finite"):
        point_masks(
            probabilities,
            offsets,
            torch.zeros(1, 2),
            torch.tensor([0]),
            input_size=(32, 40),
            output_size=(32, 40),
        )


def kept_by_loop(owner: Tensor, points: Tensor) -> Tensor:
    result = torch.zeros_like(owner)
    for i, (x, y) in enumerate(points.long().tolist()):
        parts = components_by_search(owner == i + 1)
        own = next((part for part in parts if (y, x) in part), [(y, x)])
        for part in parts:
            squares = [(p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2 for p in part for q in own]
            if part is own or min(squares) < 4 * len(part) / torch.pi:
                for pixel in part:
                    result[pixel] = i + 1
    return result


@pytest.mark.parametrize("seed", range(4))
def test_components_far_from_that_of_the_point_are_removed(seed: int) -> None:
    torch.manual_seed(seed)
    coarse = torch.randint(0, 4, (9, 12)) * (torch.rand(9, 12) > 0.4)
    owner = coarse.repeat_interleave(3, 0).repeat_interleave(3, 1)
    points = torch.rand(3, 2) * torch.tensor([36, 27])
    kept = keep_near_components(owner, points)
    assert torch.equal(kept, kept_by_loop(owner, points))
    assert 0 < int((kept > 0).sum()) < int((owner > 0).sum())


@pytest.mark.parametrize(
    ("point", "side", "box"),
    [
        ((20.0, 30.0), 10, (15, 25, 25, 35)),
        ((1.0, 39.5), 8, (0, 35.5, 5, 40)),
        ((20.0, 30.0), 500, (0, 0, 60, 40)),
    ],
)
def test_the_fallback_is_a_square_cut_at_the_border(
    point: tuple[float, float], side: float, box: tuple[float, float, float, float]
) -> None:
    assert fallback_box(point, side, (40, 60)) == box


def test_a_side_of_zero_is_rejected() -> None:
    with pytest.raises(ValueError, match="must be positive, got 0"):
        fallback_box((1.0, 1.0), 0, (40, 60))
