"""The list of images in canonical form."""

import unicodedata
from pathlib import Path
from typing import Any

import pytest
from coco_toy import HEIGHT, WIDTH, canonical, coco, raw, rules, write_images
from PIL import Image

from depthbox.io.annotations.canonical import canonicalize
from depthbox.io.annotations.records import AnnotationError


def names_of(result: Any) -> list[str]:
    return [image["file_name"] for image in result.content["images"]]


@pytest.mark.parametrize("ids", [(3, 1, 2), (-1, 0, 7), ("c", "a", "b"), (2.0, 1.5, 3), ("1", 1, "x")])
def test_ids_of_any_kind_are_numbered_and_given_back(ids: tuple[Any, ...]) -> None:
    content = coco()
    for image, identity in zip(content["images"], ids, strict=True):
        image["id"] = identity
    for annotation in content["annotations"]:
        annotation["image_id"] = ids[annotation["image_id"] - 1]
    result = canonical(content)
    given = list(ids) if any(isinstance(identity, str) for identity in ids) else sorted(ids)
    assert [image["id"] for image in result.content["images"]] == [1, 2, 3]
    assert list(result.ids.images.values()) == given
    assert names_of(result) == [f"{ids.index(identity)}.png" for identity in given]
    for annotation in result.content["annotations"]:
        before = content["annotations"][result.positions[annotation["id"]]]
        assert result.ids.images[annotation["image_id"]] == before["image_id"]
    assert rules(result) == {}


def test_an_id_of_two_files_is_an_error() -> None:
    content = coco()
    content["images"][2]["id"] = 1
    with pytest.raises(AnnotationError, match=r"boxes.json: the image id 1 is used for '0.png' and '2.png'"):
        canonical(content)


def test_a_repeated_entry_is_merged() -> None:
    content = coco()
    content["images"].append({**content["images"][0], "license": 3})
    result = canonical(content)
    assert len(result.content["images"]) == 3
    assert rules(result) == {"image_id_twice": 1}


def test_a_file_listed_for_each_object_becomes_one_image() -> None:
    content = coco(2, 3)
    images = []
    for number, annotation in enumerate(content["annotations"], 1):
        images.append({**content["images"][annotation["image_id"] - 1], "id": number})
        annotation["image_id"] = number
    result = canonical({**content, "images": images})
    assert names_of(result) == ["0.png", "1.png"]
    assert [entry["image_id"] for entry in result.content["annotations"]] == [1, 1, 1, 2, 2, 2]
    assert dict(result.ids.images) == {1: 1, 2: 4}
    assert rules(result) == {"file_listed_twice": 4}


def test_a_file_listed_twice_with_all_objects_keeps_them_once() -> None:
    content = coco(1, 2)
    content["images"].append({**content["images"][0], "id": 2})
    content["annotations"] += [{**entry, "id": 10 + entry["id"], "image_id": 2} for entry in content["annotations"]]
    result = canonical(content)
    assert len(result.content["annotations"]) == 2
    assert rules(result) == {"file_listed_twice": 1, "annotation_twice": 2}


def test_listings_with_two_sizes_are_a_contradiction() -> None:
    content = coco(1)
    content["images"].append({**content["images"][0], "id": 2, "height": 99})
    assert rules(canonical(content)) == {"file_listed_twice": 1, "image_size_differs": 1}


@pytest.mark.parametrize(
    "entry", [None, 3, [], {}, {"id": 9}, {"id": None, "file_name": "a"}, {"id": 9, "file_name": 1}]
)
def test_entries_without_id_and_name_are_left_out(entry: Any) -> None:
    content = coco()
    content["images"].append(entry)
    content["annotations"].append({"id": 99, "image_id": 9, "category_id": 1, "bbox": [1, 1, 5, 5]})
    found = rules(canonical(content))
    identified = isinstance(entry, dict) and entry.get("id") == 9
    assert found == {"image_malformed": 1, "image_left_out" if identified else "image_unknown": 1}


def test_names_are_those_on_disk(tmp_path: Path) -> None:
    composed = unicodedata.normalize("NFC", "Fläche.png")
    write_images(tmp_path, [composed, "b.PNG", "day/c.png"])
    content = coco()
    for image, name in zip(
        content["images"], (unicodedata.normalize("NFD", composed), "b.png", "images\\1/c.png"), strict=True
    ):
        image["file_name"] = name
    result = canonicalize(raw(content, tmp_path))
    assert names_of(result) == [composed, "b.PNG", "day/c.png"][:2] + ["images/1/c.png"]
    assert result.missing == {3}
    assert rules(result) == {"file_name_respelled": 2, "image_missing": 1}
    (tmp_path / "images").mkdir()
    (tmp_path / "day" / "c.png").rename(tmp_path / "images" / "c.png")
    result = canonicalize(raw(content, tmp_path))
    assert names_of(result)[2] == "images/c.png"
    assert rules(result) == {"file_name_respelled": 2, "file_name_moved": 1}
    assert result.original["images"][2]["file_name"] == "images\\1/c.png"


def test_missing_files_are_counted_and_stay(tmp_path: Path) -> None:
    write_images(tmp_path, ["0.png"])
    result = canonicalize(raw(coco(), tmp_path))
    assert result.missing == {2, 3}
    assert len(result.content["images"]) == 3
    assert rules(result) == {"image_missing": 2}


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "C:\\a.png", "a\n.png", "", ".."])
def test_names_outside_the_folder_are_left_out(name: str, tmp_path: Path) -> None:
    write_images(tmp_path, ["secret.png", "images/0.png", "images/1.png"])
    content = coco()
    content["images"][2]["file_name"] = name
    for result in (canonicalize(raw(content, tmp_path / "images")), canonical(content)):
        assert names_of(result) == ["0.png", "1.png"]
        assert rules(result) == {"file_outside_images": 1, "image_left_out": 2}


def test_without_a_usable_image_there_is_an_error_with_the_cause(tmp_path: Path) -> None:
    content = coco()
    for image in content["images"]:
        image["file_name"] = "../x.png"
    with pytest.raises(AnnotationError, match=r"no image that can be used \(images whose file_name leaves"):
        canonicalize(raw(content, tmp_path))
    with pytest.raises(AnnotationError, match="the list is empty"):
        canonical(coco(0))
    with pytest.raises(AnnotationError, match=r"the image folder .* does not exist"):
        canonicalize(raw(coco(), tmp_path / "none"))


@pytest.mark.parametrize(
    "size", [{}, {"height": 0, "width": 0}, {"height": "tall", "width": None}, {"height": -4, "width": 5}]
)
def test_sizes_are_read_from_files_upright(size: dict[str, Any], tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    write_images(tmp_path, ["0.png", "1.png"])
    Image.new("L", (WIDTH, HEIGHT)).save(tmp_path / "2.jpg", exif=exif)
    content = coco()
    content["images"] = [{"id": n + 1, "file_name": f"{n}.png", **size} for n in range(2)]
    content["images"] += [{"id": 3, "file_name": "2.jpg"}, {"id": 4, "file_name": "3.png"}]
    result = canonicalize(raw(content, tmp_path))
    assert [(image["height"], image["width"]) for image in result.content["images"]] == [
        (HEIGHT, WIDTH),
        (HEIGHT, WIDTH),
        (WIDTH, HEIGHT),
    ]
    assert rules(result) == {"image_size_repaired": 3, "image_size_unknown": 1}


def test_sizes_as_text_and_as_floating_point_numbers_are_used() -> None:
    content = coco()
    content["images"][0].update(height="40", width="60")
    content["images"][1].update(height=40.0, width=60.0)
    result = canonical(content)
    assert {(image["height"], image["width"]) for image in result.content["images"]} == {(40, 60)}
    assert all(type(image["height"]) is int for image in result.content["images"])
    assert rules(result) == {"image_size_text": 1}


def test_sizes_are_compared_with_the_files_only_if_asked_for(tmp_path: Path) -> None:
    write_images(tmp_path, ["0.png"])
    write_images(tmp_path, ["1.png"], (HEIGHT // 2, WIDTH // 2))
    write_images(tmp_path, ["2.png"], (WIDTH, HEIGHT))
    (tmp_path / "3.png").write_bytes(b"")
    assert rules(canonicalize(raw(coco(4), tmp_path))) == {}
    result = canonicalize(raw(coco(4), tmp_path), check_sizes=True)
    assert rules(result) == {"image_size_differs": 1, "image_turned": 1, "image_unreadable": 1, "image_left_out": 2}
    note = next(note for note in result.notes if note.rule == "image_size_differs")
    assert note.examples == ("'1.png': 60 x 40 in the annotations, 30 x 20 in the file (width x height)",)
    assert note.kind == "contradiction"
    assert note.remedy


def test_sizes_beyond_any_image_that_can_be_read_are_not_believed(tmp_path: Path) -> None:
    content = coco()
    content["images"][0] |= {"height": 1_000_000, "width": 1_000_000}
    write_images(tmp_path, names_of(canonical(coco())))
    result = canonicalize(raw(content, tmp_path))
    assert rules(result) == {"image_size_repaired": 1}
    assert (result.content["images"][0]["height"], result.content["images"][0]["width"]) == (HEIGHT, WIDTH)
