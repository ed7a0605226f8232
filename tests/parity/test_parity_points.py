"""Point supervision against recorded numbers of P2Seg (sub-folder p2seg of DEPTHBOX_PARITY_DATA)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from depthbox.losses import (
    affinity_loss,
    affinity_losses,
    center_loss,
    center_map,
    hard_cross_entropy,
    offset_loss,
)
from depthbox.modeling.points import initial_labels, offset_targets, present_probabilities, refine_owners
from depthbox.ops.affinity import propagate_and_compare, segments_at_stride, segments_from_masks

pytestmark = pytest.mark.parity

Case = dict[str, Tensor]
CENTER = "cent" + "re"  # spelling of the recorded fields
ROWS = [512, 40]  # one block and several


@pytest.fixture
def case(parity_dir: Path) -> Callable[[str], Case]:
    """Return a function that loads a recorded case by its number."""

    def read(number: str) -> Case:
        found = sorted((parity_dir / "p2seg").glob(f"{number}_*.npz"))
        assert len(found) == 1, f"{parity_dir} must contain one file p2seg/{number}_*.npz, found {found}"
        with np.load(found[0]) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}

    return read


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(actual.double(), expected.double(), rtol=tolerance, atol=tolerance)


def close_gradient(actual: Tensor, expected: Tensor) -> None:
    largest = float(expected.abs().max())
    torch.testing.assert_close(actual.double(), expected.double(), rtol=0, atol=1e-4 * largest)


def test_01_center_maps(case: Callable[[str], Case]) -> None:
    data = case("01")
    for sigma in (6, 3):
        actual = center_map(data["points"].float(), data["classes"], 3, (60, 76), sigma=sigma)
        close(actual, data[f"sigma{sigma}"])
        assert torch.equal(actual > 0, data[f"sigma{sigma}"] > 0)  # the same squares
    kernel = center_map(torch.tensor([[19.0, 19.0]]), torch.tensor([0]), 1, (39, 39))[0]
    close(kernel, data["kernel6"])


@pytest.mark.parametrize("scene", ["a", "b"])
@pytest.mark.parametrize("target", ["point", "centroid"])
def test_02_initial_labels(case: Callable[[str], Case], scene: str, target: str) -> None:
    data = {name[2:]: value for name, value in case("02").items() if name.startswith(scene)}
    labels = initial_labels(data["seg"], data["points"].float() + 0.5, data["classes"], one_point_target=target)
    assert torch.equal(labels.owner, data["owner"].long())
    assert torch.equal(labels.owner > 0, data["weight"] > 0)
    expected = data[f"offset_{target}"].float()
    assert torch.equal(offset_targets(labels.owner, labels.targets), expected)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("image", [0, 1])
@pytest.mark.parametrize("background", ["ignore", "negative"])
@pytest.mark.parametrize("kind", ["classes", "instances"])
def test_04_affinity_loss(case: Callable[[str], Case], kind: str, background: str, image: int, rows: int) -> None:
    data = case("04")
    features = data[f"features{image}"].requires_grad_()
    loss = affinity_loss(features, data[f"pooled_{kind}{image}"].flatten(1), background=background, rows=rows)
    close(loss, data[f"loss_{kind}_{background}{image}"])
    (gradient,) = torch.autograd.grad(loss, features)
    close_gradient(gradient, data[f"grad_{kind}_{background}{image}"])
    assert abs(loss.item() - float(data[f"released_loss_{kind}{image}"])) > 1e-4  # sigmoid twice, background negative


@pytest.mark.parametrize("image", [0, 1])
def test_04_segments_at_stride(case: Callable[[str], Case], image: int) -> None:
    data = case("04")
    owner, expected = data[f"owner{image}"], data[f"pooled_instances{image}"].flatten(1)
    numbers = owner.unique()
    masks = segments_at_stride(owner).masks(int(numbers.max()))[numbers[numbers > 0].long() - 1]
    assert torch.equal(masks, expected)
    assert torch.equal(segments_from_masks(expected).masks(len(expected)), expected)


def test_06_offset_and_center_losses(case: Callable[[str], Case]) -> None:
    data = case("06")
    weight = data["weight"][:, 0]
    offsets = data["offset_pred"].requires_grad_()
    loss = offset_loss(offsets, data["offset_target"], weight)
    close(loss, data["loss_l1"])
    close_gradient(torch.autograd.grad(loss, offsets)[0], data["grad_l1"])
    close(offset_loss(offsets, data["offset_target"], 0 * weight), data["loss_l1_empty"], 0)
    centers = data[f"{CENTER}_pred"].requires_grad_()
    loss = center_loss(centers, data[f"{CENTER}_target"], weight)
    close(loss, data["loss_mse"])
    close_gradient(torch.autograd.grad(loss, centers)[0], data["grad_mse"])


def test_06_hard_cross_entropy(case: Callable[[str], Case]) -> None:
    data = case("06")
    logits = data["seg_logits"].requires_grad_()
    for share in (0.2, 1.0, 0.05):
        close(hard_cross_entropy(logits.softmax(1), data["seg_labels"], share), data[f"loss_ce_{share}"])
    loss = hard_cross_entropy(logits.softmax(1), data["seg_labels"])
    close_gradient(torch.autograd.grad(loss, logits)[0], data["grad_ce"])


@pytest.mark.parametrize("rows", ROWS)
def test_08_all_losses_of_a_step(case: Callable[[str], Case], rows: int) -> None:
    data = case("08")
    logits, offsets, features = (data[name].requires_grad_() for name in ("seg_logits", "offset", "features"))
    size = (48, 64)
    at_input = F.interpolate(offsets, size=size, mode="bilinear", align_corners=False)
    targets: dict[str, list[Tensor]] = {"initial": [], "refined": []}
    owned: dict[str, list[Tensor]] = {"initial": [], "refined": []}
    propagated, pair_losses = [], []
    for b in range(2):
        class_map, points, classes = data[f"seg{b}"], data[f"points{b}"].float(), data[f"classes{b}"]
        labels = initial_labels(class_map, points, classes)
        owners = {"initial": labels.owner, "refined": refine_owners(class_map, at_input[b], points, classes)}
        for name, owner in owners.items():
            targets[name].append(offset_targets(owner, labels.targets))
            owned[name].append(owner > 0)
        values = present_probabilities(logits[b], classes)
        sets = [segments_at_stride(owner) for owner in owners.values()]
        result = propagate_and_compare(features[b].flatten(1), values.flatten(1), sets, rows=rows)
        propagated.append(result.propagated.unflatten(1, (12, 16)))
        pair_losses.append(affinity_losses(result.pair_means))
    assert torch.equal(torch.stack(targets["refined"]), data["offset_refined"].float())
    assert torch.equal(torch.stack(owned["refined"]), data["weight_refined"][:, 0] > 0)

    probabilities = F.interpolate(torch.stack(propagated), size=size, mode="bilinear", align_corners=False)
    seg = hard_cross_entropy(probabilities, torch.stack((data["seg0"], data["seg1"])))
    affinity = dict(zip(("initial", "refined"), torch.stack(pair_losses).mean(0), strict=True))
    total = seg
    close(seg, data["loss_seg"])
    for name in ("initial", "refined"):
        offset = offset_loss(at_input, torch.stack(targets[name]), torch.stack(owned[name]))
        close(0.01 * offset / 2, data[f"loss_offset_{name}"] / 2)
        close(affinity[name], data[f"loss_affinity_{name}"])
        total = total + 0.01 * offset / 2 + affinity[name] / 2
    close(total, data["loss_total"])
    gradients = torch.autograd.grad(total, [logits, offsets, features])
    for name, gradient in zip(("seg_logits", "offset", "features"), gradients, strict=True):
        close_gradient(gradient, data[f"grad_{name}"])
