"""Dynamic head, target assignment and inference against recorded numbers of the reference (cases 02, 09, 12)."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from depthbox.modeling.fcos.inference import select_detections
from depthbox.modeling.fcos.losses import centerness
from depthbox.modeling.fcos.targets import assign_targets, pyramid_locations
from depthbox.modeling.mask_head import DynamicMaskHead
from depthbox.structures import Queries

pytestmark = pytest.mark.parity
SIZES = (64, 128, 256, 512)


def load(folder: Path, name: str) -> dict[str, Tensor]:
    with np.load(folder / f"{name}.npz") as case:
        return {key: torch.from_numpy(np.asarray(case[key])) for key in case.files}


def test_dynamic_head(parity_dir: Path) -> None:
    case = load(parity_dir, "02_dyn_head_boxinst16")
    images, order = case["im_inds"].sort(stable=True)
    queries = Queries(
        image_index=images,
        level=case["fpn_levels"][order].long(),
        row=torch.zeros_like(images),
        column=torch.zeros_like(images),
        locations=case["locations"][order],
        target_index=torch.zeros_like(images),
        counts=tuple(torch.bincount(images.long(), minlength=2).tolist()),
    )
    head = DynamicMaskHead(in_channels=16)
    assert head.num_params == 233
    features = case["mask_feats"].requires_grad_()
    params = case["params"].requires_grad_()
    weights, biases = head.parse(params)
    for layer in range(3):
        torch.testing.assert_close(weights[layer], case[f"w{layer}"].view_as(weights[layer]))
        torch.testing.assert_close(biases[layer], case[f"b{layer}"].view_as(biases[layer]))
    coarse = head.coarse_logits(features, params[order], queries)
    torch.testing.assert_close(coarse, case["logits_low"][order], atol=1e-5, rtol=1e-5)
    logits = head(features, params[order], queries).logits
    torch.testing.assert_close(logits, case["logits"][order], atol=1e-5, rtol=1e-5)
    (logits * case["grad_out"][order]).sum().backward()
    torch.testing.assert_close(features.grad, case["grad_mask_feats"], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(params.grad, case["grad_params"], atol=1e-4, rtol=1e-4)


def flat_order(values: Tensor, levels: Tensor) -> Tensor:
    """Reorder values (B, P) into the order of the reference: level, then image, then location."""
    return torch.cat([values[:, levels == level].flatten() for level in levels.unique()])


@pytest.mark.parametrize(
    ("suffix", "center_sample", "mass"),
    [("", True, False), ("_boxmass_centre", True, True), ("_no_center_sampling", False, False)],
)
def test_fcos_targets(parity_dir: Path, suffix: str, center_sample: bool, mass: bool) -> None:
    case = load(parity_dir, "09_fcos_targets")
    sizes = [tuple(size) for size in case["level_hw"].tolist()]
    locations = pyramid_locations(sizes, case["strides"].tolist(), SIZES, "cpu")
    assignment = assign_targets(
        locations,
        [case[f"boxes{i}"] for i in range(3)],
        [case["classes0"].long(), case["classes1"].long(), torch.zeros(0, dtype=torch.int64)],
        6,
        center_sample=center_sample,
        mass_center_size=(256, 320) if mass else None,
    )
    labels = flat_order(assignment.labels, locations.level)
    assert torch.equal(labels, case[f"labels{suffix}"].long())
    found = labels != 6
    assert found.any()
    owner = flat_order(assignment.target_index, locations.level)
    assert torch.equal(owner[found], case[f"target_inds{suffix}"].long()[found])
    if suffix == "":
        deltas = torch.stack([flat_order(assignment.deltas[..., k], locations.level) for k in range(4)], 1)
        at = case["pos_inds"]
        assert torch.equal(found.nonzero().squeeze(1), at)
        torch.testing.assert_close(deltas[at], case["reg_targets_pos"])
        torch.testing.assert_close(centerness(deltas[at]), case["ctrness_pos"], atol=1e-5, rtol=1e-5)
        where = locations.xy.expand(3, -1, -1)
        xy = torch.stack([flat_order(where[..., k], locations.level) for k in range(2)], 1)
        torch.testing.assert_close(xy[at], case["locations_pos"])


@pytest.mark.parametrize("with_quality", [False, True])
def test_fcos_inference(parity_dir: Path, with_quality: bool) -> None:
    case = load(parity_dir, "12_fcos_inference")
    found = select_detections(
        *([case[f"{name}{level}"] for level in range(5)] for name in ("logits", "reg", "ctr")),
        strides=(8, 16, 32, 64, 128),
        score_threshold=float(case["score_th"]),
        pre_nms_topk=int(case["pre_nms_topk"]),
        nms_threshold=float(case["nms_th"]),
        post_nms_topk=int(case["post_nms_topk"]),
        threshold_with_quality=with_quality,
    )
    for image, detections in enumerate(found):
        prefix = f"thresh_with_ctr{int(with_quality)}_im{image}_"
        assert len(detections.scores) == len(case[prefix + "scores"])
        mine = torch.argsort(detections.scores, descending=True, stable=True)
        theirs = torch.argsort(case[prefix + "scores"], descending=True, stable=True)
        for name in ("boxes", "scores", "locations"):
            torch.testing.assert_close(
                getattr(detections, name)[mine], case[prefix + name][theirs], atol=1e-5, rtol=1e-5
            )
        assert torch.equal(detections.classes[mine], case[prefix + "classes"][theirs])
        assert torch.equal(detections.level[mine], case[prefix + "levels"][theirs])
        for detection, expected in zip(mine.tolist(), case[prefix + "top_feat"][theirs], strict=True):
            level = int(detections.level[detection])
            features = case[f"top{level}"][image, :, detections.row[detection], detections.column[detection]]
            torch.testing.assert_close(features, expected)
