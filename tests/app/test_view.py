"""HTML of a result."""

import re
from dataclasses import replace

import pytest

from depthbox.app.view import show_message, show_result
from depthbox.visualization.draw import instance_color

from .test_result import GRAY, OBJECTS, RESULT, found

NAMES = ("<cat>", "dog & co")


def cells(page: str) -> list[str]:
    return [re.sub("<.*?>", "", cell) for cell in re.findall("<td>(.*?)</td>", page)]


def test_every_object_has_a_number_and_a_table_row() -> None:
    page = show_result(GRAY, RESULT, NAMES)
    assert cells(page) == ["1", "dog &amp; co", "0.90", "400 px", "0.00", "2", "&lt;cat&gt;", "0.50", "600 px", "1.00"]
    places = re.findall(r"left:([\d.]+)%;top:([\d.]+)%", page)
    assert places == [("66.67", "25.00"), ("16.67", "12.50")]  # the first is drawn last
    red, green, blue = instance_color(0)
    assert f"background:rgb({red},{green},{blue})" in page and "<cat>" not in page
    assert "2 objects." in page and "near" not in page and page.count("data:image/jpeg") == 1


def test_depth_has_a_scale_and_its_colors() -> None:
    page = show_result(GRAY, RESULT, NAMES, "depth")
    assert "near" in page and "background:rgb(13,8,60)" in page and "background:rgb(255,250,160)" in page
    assert "<th>Depth</th>" in page
    plain = replace(RESULT, objects=(found(slice(0, 9), slice(0, 9), 0.3),))
    assert "<th>Depth</th>" not in show_result(GRAY, plain, NAMES)
    with pytest.raises(ValueError, match="does not predict depth"):
        show_result(GRAY, plain, NAMES, "depth")


def test_masks_of_boxes_have_a_quality_and_empty_masks_are_counted() -> None:
    empty = found(slice(0, 0), slice(0, 0), 0.0)
    page = show_result(GRAY, replace(RESULT, given=True, objects=(*OBJECTS, empty)), NAMES)
    assert "<th>Quality</th>" in page and "3 masks, 1 of them empty (no pixel above 0.5)." in page
    one = show_result(GRAY, replace(RESULT, objects=OBJECTS[:1]), NAMES)
    assert "1 object." in one and "<th>Score</th>" in one


def test_messages_are_escaped() -> None:
    assert (
        "a &lt;b&gt;" in show_message("a <b>")
        and "db-error" not in show_message("a")
        and "db-error" in show_message("a", error=True)
    )
