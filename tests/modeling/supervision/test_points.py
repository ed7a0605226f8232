"""Losses of P2Seg: recorded numbers, definitions in float64, and cases without targets."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from depthbox.modeling.points.class_map import PointLabels
from depthbox.modeling.points.heads import PointOutputs
from depthbox.modeling.supervision.points import PointLosses, PointSupervision

NAMES = ("seg", "offset_initial", "offset_refined", "affinity_initial", "affinity_refined")


def outputs_of(seed: int, batch: int = 2, classes: int = 3, grid: tuple[int, int] = (6, 8)) -> PointOutputs:
    generator = torch.Generator().manual_seed(seed)

    def draw(channels: int, scale: float) -> torch.Tensor:
        return (scale * torch.randn(batch, channels, *grid, generator=generator)).double().requires_grad_()

    return PointOutputs(draw(classes + 1, 1.0), draw(2, 4.0), draw(5, 0.7))


def label_of(seed: int = 0, **more: torch.Tensor) -> PointLabels:
    class_map = torch.zeros(24, 32, dtype=torch.int64)
    class_map[2:14, 2:20] = 1
    class_map[12:22, 22:30] = 3
    class_map[20:, :4] = 255
    points = torch.tensor([[5.2, 7.9], [15.0, 6.0], [26.5, 17.5]])
    return PointLabels(class_map, points, torch.tensor([0, 0, 2]), **more)


@pytest.mark.parity
def test_losses_and_gradients_are_the_recorded_ones(parity_dir: Path) -> None:
    with np.load(parity_dir / "p2seg" / "08_mdm_step.npz") as arrays:
        case = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    inputs = [case[name].double().requires_grad_() for name in ("seg_logits", "offset", "features")]
    labels = [PointLabels(case[f"seg{b}"].long(), case[f"points{b}"].float(), case[f"classes{b}"]) for b in (0, 1)]
    losses = PointSupervision()(PointOutputs(*inputs), labels)
    halves = {"seg": 1.0}  # recorded before the mean over both label sets
    for name in NAMES:
        expected = case[f"loss_{name}"] * halves.get(name, 0.5)
        torch.testing.assert_close(getattr(losses, name), expected, rtol=1e-6, atol=1e-8, msg=name)
    total = sum(losses.by_name().values())
    torch.testing.assert_close(total, case["loss_total"], rtol=1e-6, atol=1e-8)
    total.backward()
    for name, tensor in zip(("seg_logits", "offset", "features"), inputs, strict=True):
        expected = case[f"grad_{name}"].double()
        assert (tensor.grad - expected).abs().max() <= 1e-5 * expected.abs().max(), name


def dense_losses(outputs: PointOutputs, label: PointLabels) -> dict[str, torch.Tensor]:
    """The losses of one image from their definitions, with loops over pixels and cells."""
    logits, grid_offsets, features = outputs.class_logits[0], outputs.offsets[0], outputs.features[0].flatten(1)
    height, width = label.class_map.shape
    pixels = [(label.points[i] // 1).flip(0).double() for i in range(len(label.points))]
    offsets = F.interpolate(grid_offsets[None], scale_factor=4, mode="bilinear")[0]
    cells = features.shape[1]
    owners = {"initial": torch.zeros(height, width).long(), "refined": torch.zeros(height, width).long()}
    for name, owner in owners.items():
        for y in range(height):
            for x in range(width):
                c = int(label.class_map[y, x]) - 1
                members = [i for i in range(len(pixels)) if int(label.classes[i]) == c]
                if members:  # the components of the scene are the classes
                    at = torch.tensor([y, x]).double() + (offsets[:, y, x].detach() if name == "refined" else 0)
                    owner[y, x] = min(members, key=lambda i: float((at - pixels[i]).norm())) + 1
    affinity = torch.sigmoid(features.t() @ features)
    result = {}
    for name, owner in owners.items():
        rows, columns = owner.nonzero(as_tuple=True)
        errors = [
            (offsets[:, y, x] - (pixels[owner[y, x] - 1] - torch.tensor([y, x]))).abs().sum()
            for y, x in zip(rows.tolist(), columns.tolist(), strict=True)
        ]
        result[f"offset_{name}"] = 0.005 * sum(errors) / len(errors)
        members = torch.zeros(4, cells, dtype=torch.bool)
        for y, x in zip(rows.tolist(), columns.tolist(), strict=True):
            members[owner[y, x], y // 4 * (width // 4) + x // 4] = True
        same = (members[:, :, None] & members[:, None]).any(0)
        owned = members.any(0)
        other = ~same & (owned[:, None] | owned[None])
        means = ((1 - affinity)[same].sum() / (same.sum() + 1), affinity[other].sum() / (other.sum() + 1))
        result[f"affinity_{name}"] = 0.25 * sum(means)
    present = torch.unique(label.classes) + 1
    probabilities = torch.zeros_like(logits)
    channels = torch.cat([torch.zeros(1).long(), present])
    probabilities = probabilities.index_put((channels,), logits[channels].softmax(0)).flatten(1)
    propagated = (affinity @ probabilities.t() / affinity.sum(1)[:, None]).t().view_as(logits)
    full = F.interpolate(propagated[None], scale_factor=4, mode="bilinear")[0]
    values = [
        -full[int(label.class_map[y, x]), y, x].clamp(min=1e-6).log()
        if label.class_map[y, x] != 255
        else full.sum() * 0
        for y in range(height)
        for x in range(width)
    ]
    count = int(0.2 * height * width)
    result["seg"] = torch.stack(values).topk(count).values.mean()
    return result


def test_losses_equal_their_definitions() -> None:
    outputs, label = outputs_of(3, batch=1), label_of()
    losses, expected = PointSupervision(min_area=1)(outputs, [label]), dense_losses(outputs, label)
    for name in NAMES:
        torch.testing.assert_close(getattr(losses, name), expected[name], rtol=1e-9, atol=1e-12, msg=name)
    total, reference = sum(losses.by_name().values()), sum(expected.values())
    wanted = torch.autograd.grad(reference, (outputs.class_logits, outputs.offsets, outputs.features))
    found = torch.autograd.grad(total, (outputs.class_logits, outputs.offsets, outputs.features))
    for gradient, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-7, atol=1e-10)


def test_affinity_is_the_mean_over_images_and_offsets_are_one_set() -> None:
    outputs, label = outputs_of(1), label_of()
    empty = PointLabels(torch.zeros(24, 32).long(), torch.zeros(0, 2), torch.zeros(0).long())
    both = PointSupervision(min_area=1)(outputs, [label, empty])
    alone = PointSupervision(min_area=1)(PointOutputs(*(v[:1] for v in parts(outputs))), [label])
    torch.testing.assert_close(both.affinity_initial, alone.affinity_initial / 2)
    torch.testing.assert_close(both.offset_initial, alone.offset_initial)


def parts(outputs: PointOutputs) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return outputs.class_logits, outputs.offsets, outputs.features


def losses_of(label: PointLabels, seed: int = 2, **options: object) -> PointLosses:
    return PointSupervision(min_area=1, **options)(outputs_of(seed, batch=1), [label])  # type: ignore[arg-type]


def test_known_masks_and_regions_change_owners_and_pairs() -> None:
    plain = losses_of(label_of())
    owner = torch.zeros(24, 32, dtype=torch.int64)
    owner[2:14, 2:18] = 1  # the first object reaches beyond its half
    masked = losses_of(label_of(mask_owner=owner))
    assert masked.offset_initial != plain.offset_initial and masked.affinity_refined != plain.affinity_refined
    whole = torch.tensor([[0.0, 0.0, 32.0, 24.0]]).repeat(3, 1)
    for name in NAMES:
        torch.testing.assert_close(getattr(losses_of(label_of(regions=whole)), name), getattr(plain, name))
    narrow = whole.clone()
    narrow[0, 2] = 6.0
    limited = losses_of(label_of(regions=narrow))
    assert limited.offset_initial != plain.offset_initial and limited.seg == plain.seg


def test_without_s2i_both_label_sets_are_the_first() -> None:
    losses = losses_of(label_of(), s2i=False)
    assert losses.offset_initial == losses.offset_refined and losses.affinity_initial == losses.affinity_refined


def test_without_i2s_the_class_map_is_not_propagated() -> None:
    losses, plain = losses_of(label_of(), i2s=False), losses_of(label_of())
    assert losses.affinity_initial == losses.affinity_refined == 0
    assert losses.seg > plain.seg and losses.offset_refined == plain.offset_refined


def test_stages_are_averaged() -> None:
    one, two = losses_of(label_of()), losses_of(label_of(), stages=2, certain=0.0)
    assert two.seg != one.seg and bool(torch.isfinite(two.seg))


def test_class_without_a_point_is_ignored() -> None:
    label = label_of()
    label.class_map[0, :] = 2  # class 1 has no point
    unknown = label_of()
    unknown.class_map[0, :] = 255
    for name in NAMES:
        assert getattr(losses_of(label), name) == getattr(losses_of(unknown), name)


def test_number_of_images_must_fit() -> None:
    with pytest.raises(ValueError, match="the outputs are of 2 images, the labels of 1"):
        PointSupervision()(outputs_of(0), [label_of()])
