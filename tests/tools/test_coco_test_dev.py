"""tools/coco_test_dev.py: packed predictions are readable, and predictions that the server would refuse are errors."""

import json
import math
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from script_toy import load_script

SCRIPT = Path(__file__).parents[2] / "tools" / "coco_test_dev.py"
NAME = "detections_test-dev2017_depthbox_results"


@pytest.fixture(scope="module")
def tool():
    return load_script(SCRIPT)


def prediction(image_id=7, category_id=3, size=(6, 8), **more):
    mask = np.zeros(size, dtype=np.uint8, order="F")
    mask[1:3, 2:5] = 1
    rle = coco_mask.encode(mask)
    segmentation = {"size": list(size), "counts": rle["counts"].decode()}
    row = {"image_id": image_id, "category_id": category_id, "score": 0.5, "bbox": [0.0, 0.0, 8.0, 6.0]}
    return {**row, "segmentation": segmentation, **more}


def files(folder, rows):
    images = [{"id": n, "file_name": f"{n}.jpg", "height": 6, "width": 8} for n in (7, 9)]
    (folder / "info.json").write_text(json.dumps({"images": images, "categories": [{"id": 3, "name": "car"}]}))
    (folder / "results.json").write_text(json.dumps(rows))
    return [str(folder / "results.json"), "--info", str(folder / "info.json"), "--output", str(folder / "out")]


def test_the_zip_file_is_read_as_masks(tool, tmp_path, capsys):
    tool.main(files(tmp_path, [prediction(), prediction(score=0.25)]))
    assert "2 predictions on 1 of 2 images" in capsys.readouterr().out
    with zipfile.ZipFile(tmp_path / "out" / f"{NAME}.zip") as archive:
        assert archive.namelist() == [f"{NAME}.json"]
        rows = json.loads(archive.read(f"{NAME}.json"))
    read = COCO(str(tmp_path / "info.json")).loadRes(rows)
    assert [row["area"] for row in read.dataset["annotations"]] == [6, 6]  # area of the mask, not of the box (48)
    assert [row["score"] for row in rows] == [0.5, 0.25]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no predictions"),
        ({"a": 1}, "no predictions"),
        ([prediction(image_id=8)], "prediction 0: image 8 is not in test-dev"),
        ([prediction(), prediction(category_id=1)], "prediction 1: COCO has no category 1"),
        ([prediction(score=math.nan)], "the score is nan"),
        ([prediction(score="high")], "the score is high"),
        ([prediction(segmentation=[[1, 1, 3, 1, 3, 3]])], "not an RLE"),
        ([prediction(size=(8, 6))], r"has \[8, 6\] pixels, the image \[6, 8\]"),
        ([{key: value for key, value in prediction().items() if key != "segmentation"}], "segmentation is missing"),
        ([prediction()] * 101, "101 predictions"),
    ],
)
def test_predictions_that_the_server_would_refuse_are_errors(tool, tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        tool.main(files(tmp_path, rows))
    assert not (tmp_path / "out").exists()


def test_missing_and_broken_files_are_named(tool, tmp_path):
    words = files(tmp_path, [prediction()])
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json"):
        tool.main(["nowhere.json", *words[1:]])
    (tmp_path / "info.json").write_text("{}")
    with pytest.raises(ValueError, match="image_info_test-dev2017"):
        tool.main(words)
    (tmp_path / "info.json").write_text("{")
    with pytest.raises(ValueError, match="not valid JSON"):
        tool.main(words)
