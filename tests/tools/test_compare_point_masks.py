"""tools/compare_point_masks.py."""

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from class_map_toy import SIZE, draw_discs
from PIL import Image
from pycocotools import mask as coco_mask

ROOT = Path(__file__).parents[2]


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """Write one image with two bright discs, and return the arguments that name the files."""
    centers = [(25, 40), (75, 40)]
    masks = [draw_discs([center], 12) for center in centers]
    image = np.where(np.any(masks, axis=0)[:, :, None], 220, 20).repeat(3, axis=2).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    entries: list[dict[str, Any]] = []
    for number, (mask, (x, y)) in enumerate(zip(masks, centers, strict=True), 1):
        code = coco_mask.encode(np.asfortranarray(mask, np.uint8))
        segmentation = {"size": list(SIZE), "counts": code["counts"].decode()}
        box = [float(value) for value in coco_mask.toBbox(code)]
        point = {"point_coords": [[x + 0.5, y + 0.5]], "point_labels": [1]}
        entries.append(
            {"id": number, "image_id": 1, "category_id": 1, "bbox": box, "segmentation": segmentation, **point}
        )
    images = [{"id": 1, "file_name": "a.png", "height": SIZE[0], "width": SIZE[1]}]
    content = {"images": images, "annotations": entries, "categories": [{"id": 1, "name": "cell"}]}
    (tmp_path / "truth.json").write_text(json.dumps(content))
    names = (("json", "truth.json"), ("truth", "truth.json"), ("images", ""))
    return [word for name, file in names for word in (f"--{name}", str(tmp_path / file))]


def call(words: list[str]) -> None:
    runpy.run_path(str(ROOT / "tools" / "compare_point_masks.py"))["main"](words)


def test_table_and_file_hold_baselines_and_labels(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = f"mine={tmp_path / 'truth.json'}"
    call(
        [*words, "--baselines", "class map, nearest point", "--labels", labels, "--output", str(tmp_path / "out.json")]
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("class map, nearest point") and lines[2].startswith("mine")
    assert max(map(len, lines)) <= 80
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["mine"]["mean_iou"] == 1 and found["class map, nearest point"]["mean_iou"] > 0.9


@pytest.mark.parametrize(
    ("more", "message"),
    [(["--labels", "x.json"], "give NAME=FILE"), (["--baselines", "magic"], "unknown baseline 'magic'")],
)
def test_mistakes_are_refused(words: list[str], more: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call([*words, *more])
