"""Ops and losses against numbers recorded from other implementations (see DEPTHBOX_PARITY_DATA)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from depthbox.losses import dice_loss, pairwise_loss, pairwise_nll, projection_loss, projection_loss_from_logits
from depthbox.modeling.fcos import level_locations
from depthbox.modeling.supervision.boxes import COLOR, BoxSupervision
from depthbox.ops import aligned_upsample, box_masks, color_similarity, pack_edges, rgb_to_lab, shift, unpack_edges
from depthbox.structures import Annotations

pytestmark = pytest.mark.parity

Case = dict[str, Tensor]


@pytest.fixture
def case(parity_dir: Path) -> Callable[[str], Case]:
    """Return a function that loads a recorded case by its number."""

    def read(number: str) -> Case:
        found = sorted(parity_dir.glob(f"{number}_*.npz"))
        assert len(found) == 1, f"{parity_dir} must contain one file {number}_*.npz, found {found}"
        with np.load(found[0]) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}

    return read


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def test_01_aligned_upsample(case: Callable[[str], Case]) -> None:
    data = case("01")
    for factor in (2, 4, 8):
        close(aligned_upsample(data["x"], factor), data[f"up{factor}"])
    x = data["x"].requires_grad_()
    (gradient,) = torch.autograd.grad((aligned_upsample(x, 2) * data["grad_w_up2"]).sum(), x)
    close(gradient, data["grad_x_up2"], 1e-4)


@pytest.mark.parametrize("stride", [4, 8, 16])
def test_01_level_locations(case: Callable[[str], Case], stride: int) -> None:
    close(level_locations(5, 7, stride), case("01")[f"loc_h5_w7_s{stride}"], 0)


def test_04_projection(case: Callable[[str], Case]) -> None:
    data = case("04")
    logits, target = data["logits"].requires_grad_(), data["target"]
    rows, columns = target.amax(3).flatten(1) > 0, target.amax(2).flatten(1) > 0
    for loss in (
        projection_loss(logits.sigmoid(), target),
        projection_loss_from_logits(logits, rows, columns),
    ):
        close(loss, data["loss_prj_per_instance"])
        close(loss.mean(), data["loss_prj"])
        close(torch.autograd.grad(loss.mean(), logits)[0], data["grad_logits_prj"], 1e-4)


def test_04_dice(case: Callable[[str], Case]) -> None:
    data = case("04")
    logits = data["logits"].requires_grad_()
    loss = dice_loss(logits.sigmoid(), data["target"])
    close(loss, data["dice_per_instance"])
    close(torch.autograd.grad(loss.mean(), logits)[0], data["grad_logits_dice_mean"], 1e-4)


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("dilation", [1, 2])
def test_05_pairwise_nll(case: Callable[[str], Case], size: int, dilation: int) -> None:
    data = case("05")
    close(pairwise_nll(data["logits"], size, dilation), data[f"pair_k{size}_d{dilation}"])


def test_05_order_of_neighbors(case: Callable[[str], Case]) -> None:
    data = case("05")
    offsets = [(dy, dx) for dy in (-2, 0, 2) for dx in (-2, 0, 2) if dy or dx]
    shifted = torch.stack([shift(data["unfold_in"], dy, dx) for dy, dx in offsets], 2)
    assert torch.equal(shifted.to(data["unfold_k3_d2"].dtype), data["unfold_k3_d2"])


def test_05_weighted_loss(case: Callable[[str], Case]) -> None:
    data = case("05")
    logits, weights = data["logits"].requires_grad_(), data["weights"]
    total = weights.sum().clamp(min=1)
    plain = (weights * pairwise_nll(logits)).sum() / total

    # The fused loss reads edges per image: here one image per instance. No edge may lead outside the map.
    inside = pairwise_nll(torch.ones_like(logits)).detach() > 0
    count, height, width = len(logits), *logits.shape[-2:]
    everywhere = torch.ones(count, height, dtype=torch.bool), torch.ones(count, width, dtype=torch.bool)
    edges = pack_edges((weights > 0) & inside)
    sums, counts = pairwise_loss(logits, edges, torch.arange(count), *everywhere)
    assert counts.sum() == ((weights > 0) & inside).sum()

    for loss in (plain, sums.sum() / total):
        close(loss, data["loss_weighted"])
        close(torch.autograd.grad(loss, logits)[0], data["grad_logits"], 1e-4)


def make_color_targets(data: Case) -> tuple[Tensor, Tensor]:
    """Return downsampled RGB (2, 3, 16, 24) in 0..255 and validity (2, 16, 24) of the recorded images."""
    height, width = data["padded_hw"].tolist()
    batch, valid = torch.zeros(2, 3, height, width), torch.zeros(2, height, width, dtype=torch.bool)
    for n in range(2):
        image = data[f"image{n}_bgr"]
        rows, columns = image.shape[1:]
        batch[n, :, :rows, :columns] = image
        removed = int(10 * rows / int(data["orig_heights"][n]))
        valid[n, : rows - removed, :columns] = True
    return F.avg_pool2d(batch, 4).flip(1), valid[:, 2::4, 2::4]


def test_06_color_similarity(case: Callable[[str], Case]) -> None:
    data = case("06")
    rgb, valid = make_color_targets(data)
    close(rgb, data["downsampled_rgb"])
    lab = rgb_to_lab(rgb.to(torch.uint8).float() / 255)
    torch.testing.assert_close(lab, data["lab_skimage"].float(), rtol=0, atol=2e-3)
    similarity = color_similarity(lab, valid)
    for n in range(2):
        expected = data[f"similarity{n}"]
        torch.testing.assert_close(similarity[n : n + 1], expected, rtol=0, atol=2e-3)
        assert torch.equal(similarity[n : n + 1] == 0, expected == 0)
        assert torch.equal(similarity[n : n + 1] >= 0.3, expected >= 0.3)


def test_06_edges_of_the_supervision(case: Callable[[str], Case]) -> None:
    data = case("06")
    height, width = data["padded_hw"].tolist()
    images = [data[f"image{n}_bgr"] for n in range(2)]
    padded = [F.pad(image, (0, width - image.shape[2], 0, height - image.shape[1])) for image in images]
    supervision = BoxSupervision(
        stride=4,
        rgb=False,
        color_threshold=0.3,
        size=3,
        dilation=2,
        bottom_pixels_removed=10,
    )
    sizes = [(image.shape[1], image.shape[2]) for image in images]
    boxes = [data["boxes0"], data["boxes1"]]
    annotations = Annotations(data["orig_heights"].tolist(), boxes, [])
    targets = supervision.targets(torch.stack(padded).float(), sizes, annotations)
    edges = unpack_edges(targets.edges[COLOR])
    assert torch.equal(edges, torch.cat([data["similarity0"], data["similarity1"]]) >= 0.3)


def test_06_lab_of_the_tensor_version(case: Callable[[str], Case]) -> None:
    data = case("06")
    lab = rgb_to_lab(data["downsampled_rgb"].to(torch.uint8).float() / 255)
    torch.testing.assert_close(lab, data["lab_torch_boxteacher"], rtol=0, atol=2e-3)


def test_06_box_masks(case: Callable[[str], Case]) -> None:
    data = case("06")
    height, width = data["padded_hw"].tolist()
    for n in range(2):
        boxes = data[f"boxes{n}"]
        assert torch.equal(box_masks(boxes, height // 4, width // 4, 4), data[f"bitmasks{n}"].bool())
        full = box_masks(boxes, height, width, 1).sum((1, 2))
        assert torch.equal(full.float(), data[f"full_bitmask_sums{n}"])
