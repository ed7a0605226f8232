"""VOC's mask AP against recorded numbers of another evaluator (case 09 of the folder p2seg)."""

from pathlib import Path

import numpy as np
import pycocotools.mask as mask_util
import pytest

from depthbox.evaluation.voc_average_precision import THRESHOLDS, ImageMasks, compute_voc_ap

pytestmark = pytest.mark.parity


def test_voc_mask_ap(parity_dir: Path) -> None:
    file = parity_dir / "p2seg" / "09_voc_ap.npz"
    if not file.is_file():
        pytest.skip(f"{file} does not exist")
    with np.load(file) as arrays:
        case = {name: arrays[name] for name in arrays.files}
    width, images = int(case["width"]), []
    for number in range(6):

        def read(kind: str, number: int = number) -> list[dict[str, object]]:
            masks = np.unpackbits(case[f"{kind}_masks{number}"], axis=-1)[..., :width]
            return [mask_util.encode(np.asfortranarray(mask)) for mask in masks]

        labels = {kind: case[f"{kind}_labels{number}"].tolist() for kind in ("pred", "gt")}
        scores = case[f"pred_scores{number}"].tolist()
        images.append(ImageMasks(read("pred"), labels["pred"], scores, read("gt"), labels["gt"]))
    values = compute_voc_ap(images, len(case["ap_0.5"]))
    for row, threshold in zip(values, THRESHOLDS, strict=True):
        np.testing.assert_allclose(row, case[f"ap_{threshold}"], rtol=0, atol=1e-12)
        assert np.nanmean(row) == pytest.approx(float(case[f"map_{threshold}"]), abs=1e-12)
