"""Files of a VOC folder: lists, missing files, the layouts that are found."""

import shutil

import pytest
from voc_toy import SBD, TRAIN, VAL, write_voc

from depthbox.data.voc.folder import count_common, find_images, find_root, read_names


@pytest.fixture
def root(tmp_path):
    return write_voc(tmp_path / "VOCdevkit" / "VOC2012")


def write_list(root, text, split="val"):
    path = root / "ImageSets" / "Segmentation" / f"{split}.txt"
    path.write_text(text)
    return path


def test_the_folder_is_found_from_its_parents(root):
    assert find_root(root) == find_root(root.parent) == find_root(root.parent.parent) == root
    with pytest.raises(FileNotFoundError, match=r"has no folder JPEGImages.*unpack VOCtrainval_11-May-2012\.tar"):
        find_root(root / "JPEGImages")


def test_images_are_in_the_order_of_the_list(root):
    write_list(root, f"{VAL[1]}\n\n  {VAL[0]}  \n")
    images = find_images(root, "val")
    assert [image.name for image in images] == [VAL[1], VAL[0]]
    assert images[0].objects == root / "SegmentationObject" / f"{VAL[1]}.png" and images[0].sbd is None


def test_lists_of_pairs_of_files_are_read(root):
    write_list(root, f"/JPEGImages/{VAL[0]}.jpg /SegmentationClassAug/{VAL[0]}.png\n")
    assert read_names(root, "val") == [VAL[0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a list with one image name per line"),
        ("a\n..\n", "not a list with one image name per line"),
        ("a\nb\na\n", "names the image a twice: remove"),
    ],
)
def test_faulty_lists_are_named(root, text, message):
    path = write_list(root, text)
    with pytest.raises(ValueError, match=message) as caught:
        read_names(root, "val")
    assert str(path) in str(caught.value)


def test_missing_files_are_counted_with_a_remedy(root):
    with pytest.raises(ValueError, match="the split is one of"):
        read_names(root, "test")
    with pytest.raises(FileNotFoundError, match=rf"1 of 3 images have no SegmentationObject.*{SBD}.*--sbd"):
        find_images(root, "train_aug")
    (root / "SegmentationClass" / f"{VAL[0]}.png").unlink()
    (root / "SegmentationClassAug" / f"{VAL[0]}.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 2 images have no SegmentationClass"):
        find_images(root, "val")
    (root / "JPEGImages" / f"{TRAIN[0]}.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 2 images do not exist"):
        find_images(root, "train")
    (root / "ImageSets" / "Segmentation" / "train_aug.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"train_aug\.txt does not exist.*10,582"):
        find_images(root, "train_aug")


def test_augmented_class_maps_replace_missing_ones(root):
    shutil.rmtree(root / "SegmentationClass")
    assert find_images(root, "val")[0].classes == root / "SegmentationClassAug" / f"{VAL[0]}.png"


def test_images_in_two_lists_are_counted(root):
    assert count_common(root, [*TRAIN, VAL[0]], "val") == 1
    (root / "ImageSets" / "Segmentation" / "val.txt").unlink()
    assert count_common(root, [*TRAIN, VAL[0]], "val") == 0
