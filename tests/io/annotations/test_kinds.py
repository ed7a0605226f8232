"""Kinds of canonical annotations, and their first point on the object."""

from typing import Any

import pytest

from depthbox.io.annotations.kinds import object_kind, positive_point

BOX, OUTLINE = {"bbox": [1, 2, 3, 4]}, {"segmentation": [[1, 2, 3, 2, 3, 4]]}
POINTS = {"point_coords": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], "point_labels": [0, 1, 1]}


@pytest.mark.parametrize(
    ("entry", "kind"),
    [(POINTS, "point"), (BOX, "box"), (BOX | POINTS, "box"), (BOX | OUTLINE, "mask"), (BOX | OUTLINE | POINTS, "mask")],
)
def test_the_strongest_kind_counts(entry: dict[str, Any], kind: str) -> None:
    assert object_kind(entry) == kind


def test_the_first_point_on_the_object_is_returned() -> None:
    assert positive_point(POINTS) == (3, 4)
    assert positive_point(POINTS | {"point_labels": [0, 0, 0]}) is None
    assert positive_point(BOX) is None
