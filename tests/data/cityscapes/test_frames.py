from pathlib import Path

import pytest

from depthbox.data.cityscapes.frames import find_frames, ground_truth_file


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def complete(root, split="val", city="bonn", number=0):
    frame = f"{split}/{city}/{city}_{number:06d}_000019"
    touch(root, f"leftImg8bit/{frame}_leftImg8bit.png", f"gtFine/{frame}_gtFine_instanceIds.png")
    return frame


def test_truth_of_an_image():
    image = Path("leftImg8bit", "data", "leftImg8bit", "val", "ulm", "ulm_000001_000019_leftImg8bit.png")
    expected = Path("leftImg8bit", "data", "gtFine", "val", "ulm", "ulm_000001_000019_gtFine_instanceIds.png")
    assert ground_truth_file(image) == expected
    assert ground_truth_file(str(image), "polygons.json").name == "ulm_000001_000019_gtFine_polygons.json"


@pytest.mark.parametrize("name", ["a/b_leftImg8bit.png", "leftImg8bit/val/ulm/b.png", "x/y.jpg"])
def test_other_images_have_no_truth(name):
    with pytest.raises(ValueError, match=r"is not a Cityscapes image.*keep the official folders"):
        ground_truth_file(name)


def test_frames_are_sorted_and_hidden_files_left_out(tmp_path):
    frames = [complete(tmp_path, city=city, number=n) for city, n in (("ulm", 2), ("bonn", 1), ("bonn", 0))]
    complete(tmp_path, split="train")
    touch(tmp_path, "leftImg8bit/val/ulm/._ulm_000002_000019_leftImg8bit.png", "leftImg8bit/val/ulm/notes.txt")
    touch(tmp_path, f"gtFine/{frames[0]}_gtFine_polygons.json", f"gtFine/{frames[1]}_gtFine_labelIds.png")
    found = find_frames(tmp_path, "val")
    assert [frame.name for frame in found] == [f"{name}_leftImg8bit.png" for name in reversed(frames)]
    assert [bool(frame.polygons) for frame in found] == [False, False, True]
    assert [bool(frame.label_ids) for frame in found] == [False, True, False]
    assert all(frame.instance_ids == ground_truth_file(frame.image) for frame in found)


def test_no_images_tells_the_layout(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no images .*leftImg8bit/val.*leftImg8bit_trainvaltest\.zip"):
        find_frames(tmp_path, "val")
    with pytest.raises(ValueError, match="not 'test'"):
        find_frames(tmp_path, "test")


def test_an_image_without_truth_is_named(tmp_path):
    frames = [complete(tmp_path, number=number) for number in range(6)]
    for frame in frames[1:]:
        (tmp_path / f"gtFine/{frame}_gtFine_instanceIds.png").unlink()
    touch(tmp_path, f"gtFine/{frames[2]}_gtFine_labelIds.png")
    with pytest.raises(FileNotFoundError, match=r"4 of 6 images") as error:
        touch(tmp_path, f"gtFine/{frames[1]}_gtFine_polygons.json")
        find_frames(tmp_path, "val")
    assert "bonn_000002" in str(error.value) and "gtFine_trainvaltest.zip" in str(error.value)
    assert "bonn_000001" not in str(error.value) and "bonn_000005" not in str(error.value)


@pytest.mark.parametrize("kind", ["instanceIds.png", "polygons.json"])
def test_a_truth_without_image_is_named(tmp_path, kind):
    complete(tmp_path)
    touch(tmp_path, f"gtFine/val/ulm/ulm_000003_000019_gtFine_{kind}")
    with pytest.raises(FileNotFoundError, match=r"1 ground-truth files have no image: .*ulm_000003.*Add the images"):
        find_frames(tmp_path, "val")
