"""Figures of an ablation: the objects and masks of the sheet, messages about missing rows, and the bar chart."""

import json

import numpy as np
import pycocotools.mask as mask_util
import pytest
from PIL import Image

from depthbox.experiments.ablation.figures import MASKS_FILE, save_ablation_plot, save_mask_sheet
from depthbox.experiments.ablation.plan import plan_runs

SIZE = (60, 80)
PINK = (255, 60, 160)
TILE, GAP, CAPTION, TOP = 240, 6, 18, 30  # of a sheet with a title


def row_of(image, number, box, **more):
    """Make an annotation or detection whose mask is its box."""
    x, y, w, h = box
    mask = np.zeros(SIZE, np.uint8)
    mask[y : y + h, x : x + w] = 1
    code = {"size": list(SIZE), "counts": mask_util.encode(np.asfortranarray(mask))["counts"].decode()}
    more = {"iscrowd": 0, "category_id": 1, **more}
    return {"id": number, "image_id": image, "bbox": list(box), "segmentation": code, "area": w * h, **more}


BIG, SECOND, SMALL = (10, 10, 40, 40), (55, 5, 20, 50), (70, 2, 8, 8)


@pytest.fixture
def scenes(tmp_path):
    """Write two images with three objects; rows "a" and "b" find the two larger ones, "b" a part of the first mask."""
    (tmp_path / "images").mkdir()
    images = [{"id": n, "file_name": f"{n}.png", "height": SIZE[0], "width": SIZE[1]} for n in (1, 2)]
    for image in images:
        Image.new("RGB", SIZE[::-1], (60, 90, 120)).save(tmp_path / "images" / image["file_name"])
    truth = [row_of(1, 1, BIG), row_of(2, 2, SECOND), row_of(1, 3, SMALL)]
    content = {"images": images, "annotations": truth, "categories": [{"id": 1, "name": "thing"}]}
    (tmp_path / "truth.json").write_text(json.dumps(content))
    entry = ["scenes_val", str(tmp_path / "truth.json"), str(tmp_path / "images"), ""]
    for name in ("a", "b", "c"):
        text = f"DATASETS:\n  TEST: ('scenes_val',)\n  TRAIN: ('scenes_val',)\n  COCO_STYLE: {[entry]}\n"
        (tmp_path / f"{name}.yaml").write_text(text + "SOLVER:\n  MAX_ITER: 4\n  STEPS: (3,)\n")
    runs = plan_runs([str(tmp_path / f"{name}.yaml") for name in ("a", "b", "c")], [0, 1], tmp_path / "out")
    halved = row_of(1, 1, (10, 10, 40, 24))
    both = [row_of(1, 1, BIG, score=0.9), row_of(2, 2, SECOND, score=0.9), row_of(1, 3, SMALL, score=0.9)]
    finish(runs[0], both)
    finish(runs[1], [{**halved, "bbox": list(BIG), "score": 0.9}, *both[1:]])
    return tmp_path, runs


def finish(run, predictions):
    folder = run.folder / "inference" / "scenes_val"
    folder.mkdir(parents=True)
    (run.folder / "config.yaml").write_text(run.cfg.dump())
    (run.folder / "metrics.json").write_text('{"iteration": 4, "bbox/AP": 1.0}\n')
    (run.folder / "last_evaluation").write_text("4")
    (folder / "coco_instances_results.json").write_text(json.dumps(predictions))


def pink(sheet, line, column):
    """Count the pixel rows of a tile that have the color of the mask, blended in or as an outline."""
    left, top = GAP + column * (TILE + GAP), TOP + CAPTION + line * (TILE + CAPTION + GAP)
    tile = np.asarray(sheet.crop((left, top, left + TILE, top + TILE))).astype(int)
    blended = np.round(np.array((60, 90, 120)) * 0.7 + np.array(PINK) * 0.3)
    return int((np.abs(tile - blended).max(2) <= 3).any(1).sum())


def test_the_sheet_has_the_objects_that_all_rows_find(scenes):
    folder, runs = scenes
    assert save_mask_sheet(runs, folder / "out", count=8) == ""
    sheet = Image.open(folder / "out" / MASKS_FILE).convert("RGB")
    # The truth and two rows wide; the tiny object is left out; row "c" is not finished.
    assert sheet.size == (GAP + 3 * (TILE + GAP), TOP + 2 * (TILE + CAPTION + GAP))
    true, first, second = (pink(sheet, 0, column) for column in range(3))
    assert true == first > 100 and 0.5 < second / first < 0.65, "24 of 40 pixel rows of the mask"
    assert pink(sheet, 1, 0) == pink(sheet, 1, 1) == pink(sheet, 1, 2) > 100
    assert save_mask_sheet(runs, folder / "out", count=1) == ""
    assert Image.open(folder / "out" / MASKS_FILE).size[1] == TOP + TILE + CAPTION + GAP


def test_missing_rows_are_reported(scenes):
    folder, runs = scenes
    results = runs[1].folder / "inference" / "scenes_val" / "coco_instances_results.json"
    results.unlink()
    message = save_mask_sheet(runs, folder / "out")
    assert message.startswith(f"b is not in {MASKS_FILE}: ") and str(results) in message
    assert Image.open(folder / "out" / MASKS_FILE).size[0] == GAP + 2 * (TILE + GAP)
    finish(runs[4], [row_of(2, 2, SECOND, score=0.9)])  # another seed of "b" has what is needed
    assert save_mask_sheet(runs, folder / "out") == ""
    assert Image.open(folder / "out" / MASKS_FILE).size == (GAP + 3 * (TILE + GAP), TOP + TILE + CAPTION + GAP)


def test_no_sheet_is_written_without_objects(scenes):
    folder, runs = scenes
    sheet = folder / "out" / MASKS_FILE
    assert save_mask_sheet(runs, folder / "out", count=0) == "" and not sheet.exists()
    assert save_mask_sheet(runs[2:3], folder / "out") == "" and not sheet.exists(), "nothing is finished"
    finish(runs[2], [row_of(1, 3, SMALL, score=0.9)])
    assert "not a single object that all rows find" in save_mask_sheet(runs, folder / "out") and not sheet.exists()
    (folder / "images" / "1.png").unlink()
    message = save_mask_sheet(runs[:2], folder / "out")
    assert "images/1.png" in message and not sheet.exists()


def test_rows_without_masks_are_reported(scenes):
    folder, runs = scenes
    finish(runs[2], [{"image_id": 1, "category_id": 1, "bbox": list(BIG), "score": 0.9}])
    message = save_mask_sheet(runs, folder / "out")
    assert message == f"c is not in {MASKS_FILE}: scenes_val has no ground-truth masks, or the run predicted none"
    (folder / "truth.json").unlink()
    assert f"a is not in {MASKS_FILE}: " in save_mask_sheet(runs, folder / "out")


def test_the_bar_chart_accepts_rows_without_values(tmp_path):
    rows = [{"name": "a", "mask_AP": [None], "box_AP": [3.0]}, {"name": "b", "mask_AP": [], "box_AP": []}]
    save_ablation_plot(rows, tmp_path / "plot.png")
    colors = Image.open(tmp_path / "plot.png").convert("RGB").getcolors(1 << 20)
    assert (0xC9, 0xC9, 0xC9) in {color for _, color in colors}
