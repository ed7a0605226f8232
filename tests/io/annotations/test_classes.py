"""Classes matched by name."""

import pytest
from coco_toy import canonical, coco, rules
from hypothesis import given
from hypothesis import strategies as st

from depthbox.io.annotations.classes import match_classes, remap_classes
from depthbox.io.annotations.records import AnnotationError


def test_equal_names_match_in_any_order() -> None:
    match = match_classes(["cat", "dog", "cow"], ["dog", "cat", "owl"])
    assert match.mapping == {"dog": "dog", "cat": "cat"}
    assert (match.missing, match.unknown, match.alike) == (("cow",), ("owl",), ())


def test_names_that_differ_in_case_and_blanks_match_if_there_is_one() -> None:
    match = match_classes(["traffic light", "cat"], ["Cat ", "TrafficLight"])
    assert match.mapping == {"Cat ": "cat", "TrafficLight": "traffic light"}
    assert match.alike == (("Cat ", "cat"), ("TrafficLight", "traffic light"))


def test_names_that_several_classes_resemble_match_none() -> None:
    match = match_classes(["cat"], ["cat", "Cat"])
    assert (match.mapping, match.unknown) == ({"cat": "cat"}, ("Cat",))
    match = match_classes(["cat", "CAT"], ["Cat"])
    assert (match.mapping, match.missing, match.unknown) == ({}, ("cat", "CAT"), ("Cat",))


@given(*[st.lists(st.sampled_from(["a", "A", " a", "b", "B ", "c"]), unique=True)] * 2)
def test_every_name_is_matched_at_most_once(run: list[str], data: list[str]) -> None:
    match = match_classes(run, data)
    assert len(set(match.mapping.values())) == len(match.mapping)
    assert set(match.mapping) | set(match.unknown) == set(data)
    assert set(match.mapping.values()) | set(match.missing) == set(run)
    assert all(match.mapping[name] == name for name in set(run) & set(data))


def test_annotations_take_the_classes_of_the_run_in_its_order() -> None:
    content = coco(1, 4)
    content["categories"] = [{"id": 7, "name": "cat"}, {"id": 9, "name": "Dog", "supercategory": "animal"}]
    for annotation in content["annotations"]:
        annotation["category_id"] = {1: 7, 2: 9}[annotation["category_id"]]
    result = remap_classes(canonical(content), ["dog", "cow", "cat"])
    assert result.content["categories"] == [
        {"id": 1, "name": "dog", "supercategory": "animal"},
        {"id": 2, "name": "cow"},
        {"id": 3, "name": "cat"},
    ]
    assert [entry["category_id"] for entry in result.content["annotations"]] == [3, 1, 3, 1]
    assert dict(result.ids.categories) == {1: 9, 3: 7}
    assert rules(result) == {"class_names_matched": 1}
    assert result.original == content


def test_annotations_with_the_classes_of_the_run_stay_the_same() -> None:
    before = canonical(coco())
    after = remap_classes(before, ["cat", "dog"])
    assert after.content == before.content
    assert after.ids.categories == before.ids.categories
    assert after.notes == before.notes
    assert remap_classes(after, ["dog", "cat"]).ids.categories == {1: 2, 2: 1}


def test_unknown_classes_with_objects_are_an_error_with_both_lists() -> None:
    with pytest.raises(AnnotationError, match=r"does not have: 'dog'\. .*data: 'cat', 'dog'; of the run: 'cat', 'owl'"):
        remap_classes(canonical(coco()), ["cat", "owl"])


def test_unknown_classes_without_objects_are_left_out() -> None:
    result = remap_classes(canonical(coco(2, 1)), ["cat"])
    assert result.content["categories"] == [{"id": 1, "name": "cat"}]
    assert rules(result) == {"class_unused": 1}


def test_data_without_any_class_of_the_run_is_an_error() -> None:
    with pytest.raises(AnnotationError, match="does not have: 'cat', 'dog'"):
        remap_classes(canonical(coco(1, 0)), ["owl"])


def test_classes_of_the_run_have_unique_names() -> None:
    with pytest.raises(AnnotationError, match="'cat' of the run is named twice"):
        remap_classes(canonical(coco()), ["cat", "dog", "cat"])
