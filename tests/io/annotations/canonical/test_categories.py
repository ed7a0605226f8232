"""The list of categories in canonical form."""

from typing import Any

import pytest
from coco_toy import canonical, coco, rules

from depthbox.io.annotations.records import AnnotationError


def with_categories(categories: Any, used: list[Any], objects: int = 2) -> dict[str, Any]:
    content = coco(1, objects)
    content["categories"] = categories
    for annotation, identity in zip(content["annotations"], used, strict=True):
        annotation["category_id"] = identity
    return content


def names(result: Any) -> list[str]:
    assert [entry["id"] for entry in result.content["categories"]] == list(
        range(1, len(result.content["categories"]) + 1)
    )
    return [entry["name"] for entry in result.content["categories"]]


@pytest.mark.parametrize(
    ("ids", "order"),
    [((9, 3), "ba"), ((0, -5), "ba"), ((2.0, 1.0), "ba"), (("z", "b"), "ab"), ((9, "3"), "ab"), ((90, 1), "ba")],
)
def test_numeric_ids_are_sorted_and_others_stay_in_the_order_of_the_file(ids: tuple[Any, ...], order: str) -> None:
    content = with_categories([{"id": ids[0], "name": "a"}, {"id": ids[1], "name": "b"}], list(ids))
    result = canonical(content)
    assert "".join(names(result)) == order
    assert [result.ids.categories[entry["category_id"]] for entry in result.content["annotations"]] == list(ids)
    assert rules(result) == {}


def test_further_keys_are_kept() -> None:
    result = canonical(with_categories([{"id": 5, "name": "a", "supercategory": "x"}], [5, 5]))
    assert result.content["categories"] == [{"id": 1, "name": "a", "supercategory": "x"}]


@pytest.mark.parametrize("identity", ["1", "1.0", 1.0])
def test_category_ids_of_another_type_are_found(identity: Any) -> None:
    result = canonical(with_categories([{"id": 1, "name": "a"}], [identity, 1]))
    assert [entry["category_id"] for entry in result.content["annotations"]] == [1, 1]
    assert rules(result) == ({} if identity == 1.0 else {"id_type_differs": 1})


def test_class_names_as_category_ids_are_found() -> None:
    result = canonical(with_categories([{"id": 4, "name": "a"}, {"id": 5, "name": "b"}], ["b", "a"]))
    assert [entry["category_id"] for entry in result.content["annotations"]] == [2, 1]
    assert rules(result) == {"id_type_differs": 2}


@pytest.mark.parametrize(("used", "expected"), [([0, 1], [1, 2]), ([1, 2], [1, 2]), (["cat", "dog"], [1, 2])])
def test_a_list_of_names_is_numbered_as_the_objects_need_it(used: list[Any], expected: list[int]) -> None:
    result = canonical(with_categories(["cat", "dog"], used))
    assert names(result) == ["cat", "dog"]
    assert [entry["category_id"] for entry in result.content["annotations"]] == expected
    assert rules(result)["categories_without_ids"] == 2


def test_blank_names_of_a_list_are_made_from_the_id() -> None:
    assert names(canonical(with_categories(["", "dog"], [1, 2]))) == ["class 1", "dog"]


def test_names_by_id_are_categories() -> None:
    result = canonical(with_categories({"3": "cat", "1": "dog"}, [1, 3]))
    assert [names(result)[entry["category_id"] - 1] for entry in result.content["annotations"]] == ["dog", "cat"]


def test_missing_categories_are_the_class_names_of_the_objects() -> None:
    content = with_categories(None, ["dog", "cat"])
    for given in (content, {key: value for key, value in content.items() if key != "categories"}):
        result = canonical(given)
        assert names(result) == ["cat", "dog"]
        assert rules(result) == {"categories_from_objects": 2}


@pytest.mark.parametrize("categories", [None, [], [None], [{}], [{"name": "a"}]])
def test_objects_without_categories_are_an_error(categories: Any) -> None:
    with pytest.raises(AnnotationError, match=r"missing list\(s\): categories"):
        canonical(with_categories(categories, [1, 2]))


def test_images_without_objects_need_no_categories() -> None:
    result = canonical({"images": coco()["images"]})
    assert (result.content["annotations"], result.content["categories"]) == ([], [])
    assert len(result.content["images"]) == 3


@pytest.mark.parametrize("categories", [3, "cats", True])
def test_categories_that_are_not_a_list_are_an_error(categories: Any) -> None:
    with pytest.raises(AnnotationError, match=r"categories is .*, not a list"):
        canonical(with_categories(categories, [1, 2]))


def test_an_id_of_two_names_is_an_error() -> None:
    with pytest.raises(AnnotationError, match=r"the category id 1 is used for 'a' and 'b'"):
        canonical(with_categories([{"id": 1, "name": "a"}, {"id": 1, "name": "b"}], [1, 1]))


def test_repeated_entries_and_names_are_merged() -> None:
    categories = [{"id": 1, "name": "a"}, {"id": 1, "name": "a"}, {"id": 2, "name": "a"}, {"id": 3, "name": "b"}]
    result = canonical(with_categories(categories, [2, 3]))
    assert names(result) == ["a", "b"]
    assert [entry["category_id"] for entry in result.content["annotations"]] == [1, 2]
    assert dict(result.ids.categories) == {1: 1, 2: 3}
    assert rules(result) == {"category_id_twice": 1, "category_name_twice": 1}


def test_names_that_differ_in_case_and_blanks_are_a_contradiction() -> None:
    result = canonical(with_categories([{"id": 1, "name": "cat"}, {"id": 2, "name": "Cat "}], [1, 2]))
    assert names(result) == ["cat", "Cat "]
    (note,) = result.notes
    assert (note.kind, note.rule, note.count) == ("contradiction", "class_names_alike", 2)
    assert note.examples == ("'cat' and 'Cat '",)


def test_numbers_are_names_and_missing_names_are_made_from_the_id() -> None:
    result = canonical(with_categories([{"id": 1, "name": 7}, {"id": 2}, {"id": 3, "name": " "}], [1, 2]))
    assert names(result) == ["7", "class 2", "class 3"]
    assert rules(result) == {"category_without_name": 2}


ROOT = {"id": 0, "name": "things", "supercategory": "none"}
CHILDREN = [{"id": 1, "name": "a", "supercategory": "things"}, {"id": 2, "name": "b", "supercategory": "things"}]


def test_the_unused_root_of_roboflow_is_left_out() -> None:
    result = canonical(with_categories([ROOT, *CHILDREN], [1, 2]))
    assert names(result) == ["a", "b"]
    assert rules(result) == {"category_unused_root": 1}


@pytest.mark.parametrize(
    ("categories", "used"),
    [
        ([ROOT, *CHILDREN], [0, 1]),
        ([{**ROOT, "supercategory": "things"}, *CHILDREN], [1, 2]),
        ([{**ROOT, "name": "other"}, *CHILDREN], [1, 2]),
        ([{**ROOT, "id": 5}, *CHILDREN], [1, 2]),
    ],
)
def test_other_categories_with_the_id_0_stay(categories: list[Any], used: list[int]) -> None:
    result = canonical(with_categories(categories, used))
    assert len(names(result)) == 3
    assert rules(result) == {}
