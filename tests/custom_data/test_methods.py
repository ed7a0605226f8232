"""The method of a run: by its options and by what is annotated."""

import dataclasses
from pathlib import Path

import pytest

from depthbox.config import ConfigError
from depthbox.custom_data.methods import check_method, check_point_options, choose_method
from depthbox.custom_data.sources import OwnData
from depthbox.custom_data.split import KindCounts

BOXES, POINTS, MASKS = KindCounts(box=3), KindCounts(point=3), KindCounts(mask=3)


def test_the_method_depends_on_depth_and_points():
    plain, deep = OwnData(Path("a.json")), OwnData(Path("a.json"), depth=Path("depth"))
    assert (choose_method("", deep, BOXES), choose_method("", plain, BOXES)) == ("depthbox", "boxinst")
    assert choose_method("boxinst", deep, BOXES) == "boxinst"
    assert choose_method("", deep, POINTS) == choose_method("p2seg", plain, POINTS) == "p2seg"
    assert choose_method("", plain, KindCounts(mask=8, box=8, point=1)) == "p2seg", "a single point"
    assert choose_method("", plain, MASKS) == "boxinst"
    with pytest.raises(ConfigError, match=r"every object of a.json has a box or a mask.*: leave out --method"):
        choose_method("p2seg", plain, KindCounts(mask=1, box=3))
    with pytest.raises(ConfigError, match="give --depth"):
        check_method("depthbox", False)
    with pytest.raises(ConfigError, match="boxinst, depthbox or p2seg, not 'sam'"):
        check_method("sam", True)


@pytest.mark.parametrize("method", ["boxinst", "depthbox"])
def test_methods_of_boxes_refuse_points(method):
    own = OwnData(Path("a.json"), depth=Path("depth"))
    with pytest.raises(ConfigError, match=f"2 of 5 objects of a.json .*--method {method} learns from boxes: leave out"):
        choose_method(method, own, KindCounts(box=3, point=2))


def test_masks_alone_are_trained_on_directly():
    with pytest.raises(ConfigError, match=r"every object of a.json has a mask.* MODEL.MASK_SUPERVISION mask"):
        choose_method("p2seg", OwnData(Path("a.json")), MASKS)


def test_options_of_points_are_refused_for_boxes():
    own = OwnData(Path("a.json"))
    check_point_options("", own, ["SEED", "3"])
    maps = dataclasses.replace(own, class_maps=Path("maps"))
    for stage, data, words, named in (
        ("a", own, [], "--stage a"),
        ("", maps, [], "--class-maps maps"),
        ("", own, ["A.SEED", "3"], "A.SEED 3"),
    ):
        with pytest.raises(ConfigError, match=rf"^{named} is for objects with a point only, .*: leave it out"):
            check_point_options(stage, data, words)
