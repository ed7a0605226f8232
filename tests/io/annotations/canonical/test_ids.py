"""Ids of any kind."""

import math
from typing import Any

import pytest

from depthbox.io.annotations.canonical.ids import IdLookup, has_repeats, is_id, order_of_ids, to_number


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, 1), (1.0, 1), ("a", 2), ("1", 1), ("1.0", 1), (" 1", 1), (2, 3), (2.0, 3), ("2", 3), ("b", None), (5, None)],
)
def test_ids_are_found_in_their_type_or_as_number_and_text(value: Any, expected: int | None) -> None:
    assert IdLookup({1: 1, "a": 2, "2": 3}).find(value) == expected


@pytest.mark.parametrize("value", [None, True, [1], {}, math.nan, 10**4000, "9" * 5000])
def test_values_that_are_not_known_ids_are_not_found(value: Any) -> None:
    assert IdLookup({1: 1, 0: 2}).find(value) is None


def test_the_exact_type_comes_first() -> None:
    lookup = IdLookup({1: 1, "1": 2})
    assert (lookup.find(1), lookup.find("1")) == (1, 2)
    assert lookup.is_exact("1")
    assert not lookup.is_exact("1.0")


def test_names_stand_for_ids_last() -> None:
    lookup = IdLookup({7: 1, 8: 2})
    lookup.add_names({"cat": 1, "7": 2})
    assert (lookup.find("cat"), lookup.find("7")) == (1, 1)


def test_numbers_and_texts_are_ids() -> None:
    assert all(is_id(value) for value in (0, -1, 1.5, "a", ""))
    assert not any(is_id(value) for value in (True, None, math.inf, [], {}))


def test_order_is_that_of_numbers_and_of_the_file_if_there_are_texts() -> None:
    assert order_of_ids([3, 1.5, -2]) == [2, 1, 0]
    assert order_of_ids([3, "1", 2]) == [0, 1, 2]


def test_repeated_ids_are_found_among_other_values() -> None:
    assert has_repeats([1, None, [], 1.0])
    assert not has_repeats([1, "1", None, None])


@pytest.mark.parametrize(
    ("value", "expected"),
    [("12", 12), (" 1.50 ", 1.5), ("-3e2", -300.0), (".5", 0.5), (7, 7), ("1_000", None), ("nan", None), ("", None)]
    + [("1,5", None), (True, None), (None, None), ("9" * 50, None), ([1], None)],
)
def test_numbers_are_read_from_text(value: Any, expected: float | None) -> None:
    number = to_number(value)
    assert number == expected
    assert type(number) is type(expected)
