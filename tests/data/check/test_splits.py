"""Datasets that are divided into splits."""

import shutil
from dataclasses import replace

import pytest
from check_toy import write_clean
from PIL import Image, ImageOps

from depthbox.data.check.check import CheckError, CheckSettings
from depthbox.data.check.splits import check_splits, find_splits


@pytest.fixture
def settings(tmp_path):
    """Return a COCO folder of two splits; the validation images are other ones, except for img1.png."""
    write_clean(tmp_path / "train")
    shutil.rmtree(tmp_path / "train" / "depth")
    shutil.copytree(tmp_path / "train", tmp_path / "val")
    for name in ("sub/img0.png", "sub/img2.png", "img3.png", "sub/img4.png", "img5.png"):
        path = tmp_path / "val" / "images" / name
        with Image.open(path) as image:
            ImageOps.flip(image).save(path)
    return CheckSettings(tmp_path, progress=False, workers=1)


def test_all_splits_are_found(settings):
    assert find_splits(settings, None) == ("train", "val")
    assert find_splits(settings, "val") == ("val",)
    single = replace(settings, data=settings.data / "train" / "boxes.json")
    assert find_splits(single, None) == ("",)
    named = replace(settings, images=settings.data / "train" / "images")
    assert find_splits(named, None) == ("train",), "images that are named are those of one split"
    assert find_splits(replace(settings, data=settings.data / "train" / "images"), None) == ("",), "reported later"


def test_splits_are_checked_and_images_in_both_are_found(settings):
    shown = []
    reports = check_splits(settings, ("train", "val"), shown.append)
    assert list(reports) == ["train", "val"] and shown == list(reports.values())
    assert reports["train"].findings == ()
    (finding,) = reports["val"].findings
    assert (finding.rule.kind, finding.rule.severity, finding.count) == ("split_overlap", "warning", 1)
    assert str(finding.first[0]) == "img1.png: the same as img1.png of train"
    assert reports["val"].image_root == settings.data / "val" / "images"


def test_a_split_that_does_not_exist_is_a_mistake_of_the_call(settings):
    with pytest.raises(CheckError, match=r"has no split test \(found: train, val\): correct --split"):
        check_splits(settings, ("test",))


def test_depth_is_that_of_the_training_images(settings, tmp_path):
    (tmp_path / "depth").mkdir()
    reports = check_splits(replace(settings, depth=tmp_path / "depth"), ("train", "val"))
    assert [report.errors for report in reports.values()] == [1, 0]
    (report,) = check_splits(replace(settings, depth=tmp_path / "depth"), ("val",)).values()
    assert report.errors == 1, "a single split that is named has depth, too"
