"""The canonical dataset of anything."""

import copy
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pycocotools.mask as mask_util
import pytest
from coco_toy import SQUARE, canonical, coco, raw, rules, write_images
from hypothesis import given, settings
from hypothesis import strategies as st

from depthbox.io.annotations.canonical import canonicalize
from depthbox.io.annotations.coco import read_coco
from depthbox.io.annotations.records import AnnotationError, AnnotationSet, Note, RawAnnotations

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(
        [1, 2, "1", "0.png", "1.png", "cat", "../a.png", 10**400, -(10**400), 1e300, 0, "", "\ud800", "a\0"]
    ),
    lambda parts: (
        st.lists(parts, max_size=5) | st.dictionaries(st.sampled_from(["id", "size", "counts", "name", "x"]), parts)
    ),
    max_leaves=8,
)


def sound() -> dict[str, Any]:
    content = coco(2, 2) | {"info": {"year": 1}}
    content["annotations"][0]["segmentation"] = copy.deepcopy(SQUARE)
    content["annotations"][1]["segmentation"] = {"size": [40, 60], "counts": [5, 9, 40 * 60 - 14]}
    content["annotations"][2]["segmentation"] = {"size": [40, 60], "counts": "d0i0cY2"}
    content["annotations"][3]["ignore"] = 0
    content["categories"][0]["supercategory"] = "animal"
    return content


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(part, (*path, key))


def put(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    target = content
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return content


PLACES = sorted(places(sound()), key=len)


def rasterize(segmentation: Any, size: tuple[int, int]) -> Any:
    if isinstance(segmentation, list):
        segmentation = mask_util.merge(mask_util.frPyObjects(segmentation, *size))
    elif isinstance(segmentation["counts"], list):
        segmentation = mask_util.frPyObjects(segmentation, *size)
    return mask_util.decode(segmentation)


def assert_canonical(result: AnnotationSet) -> None:
    """Check all that ``AnnotationSet`` promises."""
    images, annotations, categories = (result.content[key] for key in ("images", "annotations", "categories"))
    for entries in (images, annotations, categories):
        assert [entry["id"] for entry in entries] == list(range(1, len(entries) + 1))
    assert images
    assert len({image["file_name"] for image in images}) == len(images)
    for image in images:
        assert type(image["height"]) is int and type(image["width"]) is int
        assert min(image["height"], image["width"]) > 0
        assert not image["file_name"].startswith(("/", "../")) and "\\" not in image["file_name"]
    names = [category["name"] for category in categories]
    assert len(set(names)) == len(names) and all(isinstance(name, str) and name for name in names)
    for entry in annotations:
        assert 1 <= entry["image_id"] <= len(images) and 1 <= entry["category_id"] <= len(categories)
        assert len(entry["bbox"]) == 4 and all(type(value) in (int, float) for value in entry["bbox"])
        assert all(math.isfinite(value) for value in entry["bbox"]) and min(entry["bbox"][2:]) > 0
        assert 0 < entry["area"] < math.inf
        assert entry["iscrowd"] in (0, 1)
        size = (images[entry["image_id"] - 1]["height"], images[entry["image_id"] - 1]["width"])
        if "segmentation" in entry and math.prod(size) <= 10_000:
            assert rasterize(entry["segmentation"], size).shape == size
    assert set(result.positions) == set(result.ids.annotations) == {entry["id"] for entry in annotations}
    assert len(set(result.positions.values())) == len(annotations)
    assert set(result.ids.images) == {image["id"] for image in images}
    for note in result.notes:
        assert isinstance(note, Note) and note.count > 0
        assert all(example.isprintable() for example in note.examples)


def canonical_or_error(content: Any, root: Path, **options: bool) -> None:
    before = copy.deepcopy(content)
    try:
        result = canonicalize(raw(content, root), **options)
    except AnnotationError as error:
        assert "boxes.json" in str(error)
        assert "\n" not in str(error)
        return
    assert_canonical(result)
    assert repr(content) == repr(before)


def test_sound_content_needs_no_notes(tmp_path: Path) -> None:
    write_images(tmp_path, ["0.png", "1.png"])
    result = canonicalize(raw(sound(), tmp_path), check_sizes=True)
    assert_canonical(result)
    assert rules(result) == {}
    assert result.content["info"] == {"year": 1}
    assert result.missing == frozenset()


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(PLACES), JSON)
def test_any_value_at_any_place_gives_a_dataset_or_an_error(path: tuple[Any, ...], value: Any) -> None:
    canonical_or_error(put(sound(), path, value), Path("images"), check_files=False)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PLACES), JSON), max_size=4))
def test_any_values_with_a_look_at_files_give_a_dataset_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[tuple[Any, ...], Any]]
) -> None:
    root = tmp_path_factory.getbasetemp() / "fuzzed_images"
    if not root.exists():
        write_images(root, ["0.png", "1.png"])
    content = sound()
    for path, value in changes:
        try:
            content = put(content, path, value)
        except (KeyError, IndexError, TypeError):  # an earlier change has removed the place
            continue
    canonical_or_error(content, root, check_sizes=True)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(PLACES), JSON)
def test_any_file_gives_a_dataset_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, path: tuple[Any, ...], value: Any
) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzzed" / "boxes.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(put(sound(), path, value)))
    try:
        result = canonicalize(read_coco(file), check_files=False)
    except AnnotationError as error:
        assert "boxes.json" in str(error)
        return
    assert_canonical(result)


@settings(max_examples=100, deadline=None)
@given(JSON | st.lists(st.none()))
def test_any_content_gives_a_dataset_or_an_error(content: Any) -> None:
    canonical_or_error(content, Path("images"), check_files=False)


@pytest.mark.parametrize("key", ["images", "annotations"])
def test_lists_that_are_something_else_are_errors(key: str) -> None:
    with pytest.raises(AnnotationError, match=f"boxes.json is not a COCO JSON file: {key} is 'x', not a list"):
        canonical(coco() | {key: "x"})
    content = coco()
    del content["images"]
    with pytest.raises(AnnotationError, match=r"missing list\(s\): images"):
        canonical(content)


def test_deep_values_are_no_problem() -> None:
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    content = coco(1, 2)
    for key in ("segmentation", "bbox", "area", "id", "extra"):
        content["annotations"][0][key] = deep
    content["annotations"].append(content["annotations"][0])
    assert_canonical(canonical(content))


def test_notes_of_the_reader_come_first() -> None:
    note = Note("repaired", "label_without_image", 2, "label files without an image")
    content = coco()
    content["annotations"][0]["iscrowd"] = 1
    result = canonicalize(RawAnnotations(Path("x"), "yolo", Path("."), content, (note,)), check_files=False)
    assert [found.rule for found in result.notes] == ["label_without_image", "crowd"]
    assert (result.kind, result.source) == ("yolo", Path("x"))


def test_a_large_dataset_takes_little_time() -> None:
    content = coco(4000, 8)
    for annotation in content["annotations"]:
        annotation["segmentation"] = [[5.5, 6.5, 25.5, 6.5, 25.5, 21.5, 5.5, 21.5] * 5]
    start = time.process_time()
    result = canonical(content)
    assert time.process_time() - start < 4  # about 0.3 seconds; COCO has 27 times as many objects
    assert len(result.content["annotations"]) == 32_000
    assert rules(result) == {}
