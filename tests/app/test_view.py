"""What the page says of a result."""

import re
from dataclasses import replace

import pytest

from depthbox.app.view import say, show_result
from depthbox.visualization.draw import instance_color

from .test_result import GREY, OBJECTS, RESULT, found

NAMES = ("<cat>", "dog & co")


def cells(page: str) -> list[str]:
    return [re.sub("<.*?>", "", cell) for cell in re.findall("<td>(.*?)</td>", page)]


def test_every_object_has_a_number_and_a_row() -> None:
    page = show_result(GREY, RESULT, NAMES)
    assert cells(page) == ["1", "dog &amp; co", "0.90", "400 px", "0.00", "2", "&lt;cat&gt;", "0.50", "600 px", "1.00"]
    places = re.findall(r"left:([\d.]+)%;top:([\d.]+)%", page)
    assert places == [("66.67", "25.00"), ("16.67", "12.50")]  # the first is drawn last
    red, green, blue = instance_color(0)
    assert f"background:rgb({red},{green},{blue})" in page and "<cat>" not in page
    assert "2 objects." in page and "near" not in page and page.count("data:image/jpeg") == 1


def test_depth_has_a_scale_and_its_colours() -> None:
    page = show_result(GREY, RESULT, NAMES, "depth")
    assert "near" in page and "background:rgb(13,8,60)" in page and "background:rgb(255,250,160)" in page
    assert "<th>Depth</th>" in page
    plain = replace(RESULT, objects=(found(slice(0, 9), slice(0, 9), 0.3),))
    assert "<th>Depth</th>" not in show_result(GREY, plain, NAMES)
    with pytest.raises(ValueError, match="predicts no depth"):
        show_result(GREY, plain, NAMES, "depth")


def test_masks_of_boxes_have_a_quality_and_empty_ones_are_told() -> None:
    empty = found(slice(0, 0), slice(0, 0), 0.0)
    page = show_result(GREY, replace(RESULT, given=True, objects=(*OBJECTS, empty)), NAMES)
    assert "<th>Quality</th>" in page and "3 masks; 1 of them is empty, the network sees nothing there." in page
    one = show_result(GREY, replace(RESULT, objects=OBJECTS[:1]), NAMES)
    assert "1 object." in one and "<th>Score</th>" in one


def test_sentences_are_text() -> None:
    assert "a &lt;b&gt;" in say("a <b>") and "db-error" not in say("a") and "db-error" in say("a", error=True)
