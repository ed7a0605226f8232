"""Counted findings."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthbox.io.annotations.notes import RULES, NoteCounter, shorten
from depthbox.io.annotations.records import MAX_EXAMPLES


def test_findings_are_counted_with_the_first_examples() -> None:
    notes = NoteCounter()
    calls = []

    def example() -> str:
        calls.append(1)
        return f"box {len(calls)}"

    for _ in range(9):
        notes.add("box_outside", example)
    notes.add("image_malformed", "images[3]")
    notes.add("all_crowds", count=4)
    first, second, third = notes.notes()
    assert (first.rule, first.count, first.examples) == ("image_malformed", 1, ("images[3]",))
    assert (second.rule, second.count, second.kind) == ("box_outside", 9, "left out")
    assert second.examples == tuple(f"box {n}" for n in range(1, MAX_EXAMPLES + 1))
    assert len(calls) == MAX_EXAMPLES
    assert (third.count, third.examples, notes.count("all_crowds"), notes.count("crowd")) == (4, (), 4, 0)


def test_unknown_rules_are_refused() -> None:
    with pytest.raises(KeyError):
        NoteCounter().add("box_green")


@given(st.recursive(st.none() | st.floats() | st.text() | st.integers(), st.lists) | st.text(st.characters()))
def test_any_value_is_one_short_printable_line(value: Any) -> None:
    text = shorten(value)
    assert text.isprintable()
    assert len(text) <= 120
    assert text.encode("utf-8")


def test_deep_values_and_long_numbers_are_shortened() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert len(shorten(deep)) < 60
    assert len(shorten(10**5000)) < 70
    assert shorten("\ud800") == "'\\ud800'"


def test_texts_of_rules_are_single_lines_without_a_period() -> None:
    for rule in RULES.values():
        assert rule.text[0].islower()
        assert not rule.text.endswith(".")
        assert "\n" not in rule.text + rule.remedy
