"""Files of predictions one by one: the JSON stream, overlays of images and videos, and cut-outs."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances
from PIL import Image

from depthbox.inference.classes import ClassList
from depthbox.inference.outputs import OverlayWriter, open_coco_stream, overlay_path, write_cutouts
from depthbox.io.media import MediaFrame, MediaSource

CLASSES = ClassList(("cat", "big dog/wolf"), (3, "id7"))


def frame(name: str = "a.jpg", kind: str = "image", index: int = 0, value: int = 90) -> MediaFrame:
    return MediaFrame(MediaSource(kind, name, name), index, np.full((40, 60, 3), value, dtype=np.uint8), 8.0)


def instances(count: int, depth: bool = False) -> Instances:
    """Return squares of 10 pixels, 20 apart, without the top left pixel."""
    result = Instances((40, 60))
    result.pred_boxes = Boxes(torch.tensor([[5.125 + 20 * n, 8, 15 + 20 * n, 18] for n in range(count)]).view(-1, 4))
    result.scores, result.pred_classes = torch.linspace(0.9, 0.123456789, count), torch.arange(count) % 2
    result.pred_masks = torch.zeros((count, 40, 60), dtype=torch.bool)
    for n in range(count):
        result.pred_masks[n, 8:18, 5 + 20 * n : 15 + 20 * n] = True
        result.pred_masks[n, 8, 5 + 20 * n] = False
    if depth:
        result.pred_depths = torch.linspace(0.25, 0.75, count)
    return result


def test_the_stream_is_a_complete_coco_file(tmp_path: Path) -> None:
    with open_coco_stream(tmp_path / "out.json", CLASSES) as stream:
        assert not (tmp_path / "out.json").exists()  # it appears when it is complete
        stream.add(frame(), instances(2, depth=True))
        stream.add(frame("empty.png"), instances(0))
        stream.add(frame("clip.mp4", "video", 7), instances(1))
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["categories"] == [{"id": 3, "name": "cat"}, {"id": "id7", "name": "big dog/wolf"}]
    assert [image["file_name"] for image in content["images"]] == ["a.jpg", "empty.png", "clip.mp4#000007"]
    assert content["images"][2] | {"video": "clip.mp4", "frame_index": 7} == content["images"][2]
    first, second, third = content["annotations"]
    assert [x["id"] for x in content["annotations"]] == [1, 2, 3] and third["image_id"] == 3
    assert (first["category_id"], second["category_id"]) == (3, "id7") and first["iscrowd"] == 0
    assert first["area"] == 99 and first["bbox"] == [5.12, 8.0, 9.88, 10.0]
    assert (first["depth"], second["depth"], second["score"]) == (0.25, 0.75, 0.12346) and "depth" not in third


def test_a_stream_without_images_is_valid(tmp_path: Path) -> None:
    with open_coco_stream(tmp_path / "out.json", CLASSES):
        pass
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["images"] == content["annotations"] == [] and len(content["categories"]) == 2


def test_an_error_leaves_no_stream(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), open_coco_stream(tmp_path / "out.json", CLASSES) as stream:
        stream.add(frame(), instances(1))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("image", "a.jpg", "a.jpg"),
        ("image", "sub/a.JPEG", "sub/a.JPEG"),
        ("image", "a.png", "a.png"),
        ("image", "a.tif", "a.tif.png"),
        ("image", "a", "a.png"),
        ("video", "clip.mp4", "clip.mp4"),
        ("video", "clip.mov", "clip.mov.mp4"),
        ("camera", "camera0", "camera0.mp4"),
    ],
)
def test_overlays_keep_names_that_can_be_written(tmp_path: Path, kind: str, name: str, expected: str) -> None:
    path = overlay_path(tmp_path, frame(name, kind))
    if (kind == "video" and name.endswith(".mov")) or kind == "camera":
        assert path.suffix in (".mp4", ".avi") and path.name.startswith(Path(name).name)
    else:
        assert path == tmp_path / expected


def test_images_and_videos_are_written_under_their_names(tmp_path: Path) -> None:
    writer = OverlayWriter(tmp_path)
    for name in ("one.jpg", "sub/two.png"):
        writer.add(frame(name), np.full((40, 60, 3), 200, dtype=np.uint8))
    for source in ("first.mp4", "second.mp4"):
        for index in range(3):
            writer.add(frame(source, "video", index), np.full((40, 60, 3), 50 * index, dtype=np.uint8))
    writer.close()
    assert sorted(path.name for path in writer.written) == ["first.mp4", "one.jpg", "second.mp4", "two.png"]
    assert (np.array(Image.open(tmp_path / "sub" / "two.png")) == 200).all()
    for path in writer.written:
        if path.suffix == ".mp4":
            assert int(cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT)) == 3


def test_a_video_that_is_not_kept_leaves_no_file(tmp_path: Path) -> None:
    writer = OverlayWriter(tmp_path)
    writer.add(frame("clip.mp4", "video"), np.zeros((40, 60, 3), dtype=np.uint8))
    writer.close(keep=False)
    writer.close()  # closing twice is allowed
    assert writer.written == [] and [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_cutouts_are_cropped_to_the_mask_and_transparent_outside(tmp_path: Path) -> None:
    found = instances(3)
    found.pred_masks[1] = False
    paths = write_cutouts(tmp_path, frame("sub/a.jpg"), found, CLASSES)
    assert [str(path.relative_to(tmp_path)) for path in paths] == ["sub/a.jpg_001_cat.png", "sub/a.jpg_003_cat.png"]
    cutout = np.array(Image.open(paths[0]))
    assert cutout.shape == (10, 10, 4) and (cutout[..., :3] == 90).all()
    assert cutout[0, 0, 3] == 0 and cutout[..., 3].sum() == 99 * 255


def test_names_of_cutouts_are_safe_for_files(tmp_path: Path) -> None:
    found = instances(2)[1:]
    (path,) = write_cutouts(tmp_path, frame("clip.mp4", "video", 12), found, CLASSES)
    assert path.name == "clip.mp4_000012_001_big_dog_wolf.png" and path.parent == tmp_path
    assert write_cutouts(tmp_path, frame(), instances(0), CLASSES) == []
