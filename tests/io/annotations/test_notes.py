"""Counted findings."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthbox.io.annotations import notes as notes_module
from depthbox.io.annotations.notes import RULES, NoteCounter, NoteRule, shorten
from depthbox.io.annotations.readers.rules import READER_RULES
from depthbox.io.annotations.records import MAX_EXAMPLES, NoteCase


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


def test_examples_are_single_lines_of_limited_length() -> None:
    rule = NoteRule("left out", "a", "things")
    notes = NoteCounter()
    for number in range(20):
        notes.add(rule, f"file {number}\nsecond line " + "x" * 1000)
    notes.add(rule, "many", 5)
    notes.add(rule, "none", 0)
    (note,) = notes.notes()
    assert note.count == notes.count(rule) == 25
    assert len(note.examples) == len(note.cases) == MAX_EXAMPLES
    assert all("\n" not in example and len(example) <= 240 for example in note.examples)


def test_notes_without_cases_are_not_made() -> None:
    notes = NoteCounter()
    notes.add("crowd", "x", 0)
    assert notes.notes() == ()


def test_cases_keep_what_their_lines_are_made_of() -> None:
    notes = NoteCounter()
    notes.add("box_no_area", NoteCase("bbox [1, 2, 0, 4]", "a.png", "annotation 7", 7, (1.0, 2.0, 0.0, 4.0)))
    notes.add("box_no_area", "labels.txt", 3)
    (note,) = notes.notes()
    assert note.examples == ("annotation 7 of 'a.png': bbox [1, 2, 0, 4]", "labels.txt")
    assert [case.count for case in note.cases] == [1, 3]
    assert note.count == 4
    assert note.cases[0].box == (1, 2, 0, 4)


def test_rules_of_readers_are_complete_and_consistent() -> None:
    sources = Path(notes_module.__file__).parent.rglob("*.py")
    made = sum(path.read_text(encoding="utf-8").count(" NoteRule(") for path in sources)
    assert made == len(READER_RULES) + len(RULES), "every rule stands in RULES or READER_RULES"
    for rule in READER_RULES:
        assert "\n" not in rule.text + rule.remedy
        assert rule.remedy or rule.kind == "repaired" or rule.name == "image_tags"
