import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depthbox.data.depth_io import read_depth, write_depth
from depthbox.data.pseudo_depth.items import (
    DepthItem,
    has_several_pages,
    is_complete,
    list_items,
    output_size,
    read_rgb,
    take_shard,
)
from depthbox.data.pseudo_depth.model import PseudoDepthError
from depthbox.io.annotations.records import AnnotationError


def save_image(path, height=12, width=16, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(path, **options)


@pytest.fixture
def images(tmp_path):
    for name in ("b.jpg", "A.PNG", "sub/b.v1.png", ".hidden/x.png", ".x.png"):
        save_image(tmp_path / "images" / name)
    (tmp_path / "images" / "notes.txt").write_text("no image")
    return tmp_path / "images"


def write_json(path, *names, **more):
    path.write_text(json.dumps({"images": [{"id": i, "file_name": name, **more} for i, name in enumerate(names)]}))
    return path


def test_folder_is_listed_with_sub_folders(images, tmp_path):
    items = list_items(images, tmp_path / "depth").items
    names = [(str(i.image.relative_to(images)), str(i.depth.relative_to(tmp_path / "depth"))) for i in items]
    assert names == [("A.PNG", "A.png"), ("b.jpg", "b.png"), ("sub/b.v1.png", "sub/b.v1.png")]
    assert all(item.size is None for item in items)


def test_json_lists_images_once_with_their_size(images, tmp_path):
    file = write_json(tmp_path / "x.json", "sub/b.v1.png", "b.jpg", "./b.jpg", height=12, width=16)
    items = list_items(images, tmp_path / "depth", file).items
    assert [item.image for item in items] == [images / "b.jpg", images / "sub/b.v1.png"]
    assert items[0].size == (12, 16)
    assert list_items(images, images / "depth", write_json(file, "b.jpg")).items == [
        DepthItem(images / "b.jpg", images / "depth" / "b.png", (12, 16))
    ]


def test_depth_files_have_the_names_that_training_looks_for(images, tmp_path):
    from depthbox.data.datasets import load_coco_style

    names = ("A.PNG", "b.jpg", "sub/b.v1.png")
    records = [{"id": i, "file_name": name, "height": 12, "width": 16} for i, name in enumerate(names)]
    categories = [{"id": 1, "name": "thing"}]
    file = tmp_path / "x.json"
    file.write_text(json.dumps({"images": records, "annotations": [], "categories": categories}))
    items = list_items(images, tmp_path / "depth", file).items
    for item in items:
        write_depth(item.depth, np.zeros((12, 16), np.float32))
    loaded = load_coco_style("pseudo_depth_names", str(file), str(images), str(tmp_path / "depth"))
    assert [Path(record["depth_file_name"]) for record in loaded] == [item.depth for item in items]


def test_names_are_matched_to_the_files_on_disk(images, tmp_path):
    file = write_json(tmp_path / "x.json", "B.JPG", "sub\\b.v1.png", "a.png", height=12, width=16)
    listed = list_items(images, tmp_path / "depth", file)
    names = [str(item.image.relative_to(images)) for item in listed.items]
    assert names == ["A.PNG", "b.jpg", "sub/b.v1.png"] and listed.unreadable == 0
    assert [note.rule for note in listed.notes] == ["file_name_respelled"]


def test_other_formats_and_the_split_are_read(images, tmp_path):
    for split in ("train", "val"):
        save_image(tmp_path / "yolo" / split / "images" / f"{split}1.png")
        (tmp_path / "yolo" / split / "labels").mkdir()
        (tmp_path / "yolo" / split / "labels" / f"{split}1.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    save_image(tmp_path / "yolo" / "train" / "images" / "broken.png")
    (tmp_path / "yolo" / "train" / "images" / "broken.png").write_bytes(b"")
    file = tmp_path / "yolo" / "data.yaml"
    file.write_text("train: train/images\nval: val/images\nnames: [thing]\n")
    for split, unreadable in (("train", 1), ("val", 0)):
        listed = list_items(None, tmp_path / "depth", file, split)
        assert [item.depth for item in listed.items] == [tmp_path / "depth" / f"{split}1.png"]
        assert listed.items[0].size == (12, 16) and listed.unreadable == unreadable
    with pytest.raises(AnnotationError, match="has no split test"):
        list_items(None, tmp_path / "depth", file, "test")


def test_missing_images_stay_in_the_list(images, tmp_path):
    file = write_json(tmp_path / "x.json", "b.jpg", "gone.jpg", height=12, width=16)
    assert [item.image.name for item in list_items(images, tmp_path / "depth", file).items] == ["b.jpg", "gone.jpg"]


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["../out.png"], "no image that can be used .*leaves the image folder"),
        (["b.jpg", "b.png"], "share the depth map"),
        (["c.jpg", "d.jpg"], "none of the 2 images"),
        ([], "the list is empty"),
        ([7], "image entries without id and file_name"),
    ],
)
def test_bad_lists(images, tmp_path, names, problem):
    with pytest.raises((PseudoDepthError, AnnotationError), match=problem):
        list_items(images, tmp_path / "depth", write_json(tmp_path / "x.json", *names, height=12, width=16))


@pytest.mark.parametrize("text", ["{", "[]", '{"pictures": []}', '{"images": 3}'])
def test_bad_json(images, tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(AnnotationError, match=r"x\.json is not"):
        list_items(images, tmp_path / "depth", tmp_path / "x.json")


def test_bad_folders(images, tmp_path):
    with pytest.raises(PseudoDepthError, match=r"image folder .*nowhere does not exist"):
        list_items(tmp_path / "nowhere", tmp_path / "depth")
    (tmp_path / "empty").mkdir()
    with pytest.raises(PseudoDepthError, match="empty has no images"):
        list_items(tmp_path / "empty", tmp_path / "depth")
    for output in (images, images / "depth"):
        with pytest.raises(PseudoDepthError, match="among the images"):
            list_items(images, output)
    save_image(images / "b.png")
    with pytest.raises(PseudoDepthError, match=r"b\.jpg and .*b\.png|b\.png and .*b\.jpg"):
        list_items(images, tmp_path / "depth")


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_are_a_partition(count):
    items = [DepthItem(Path(f"{i}.jpg"), Path(f"{i}.png")) for i in range(5)]
    shards = [take_shard(items, i, count) for i in range(count)]
    assert sorted((item for shard in shards for item in shard), key=lambda item: item.depth) == items
    assert max(map(len, shards)) - min(map(len, shards)) <= 1
    for number in (-1, count):
        with pytest.raises(PseudoDepthError, match="numbered 0 to"):
            take_shard(items, number, count)


@pytest.mark.parametrize("image_size", [(480, 640), (427, 640), (640, 427), (7, 3000), (333, 333)])
@pytest.mark.parametrize("short_side", [None, 1, 240, 320, 427, 1000])
def test_output_size_keeps_the_aspect_as_training_checks_it(tmp_path, image_size, short_side):
    size = output_size(image_size, short_side)
    assert min(size) == min(short_side or 10**6, *image_size)
    write_depth(tmp_path / "d.png", np.zeros(size, np.float32))
    assert read_depth(tmp_path / "d.png", image_size).shape == size


def test_complete_means_present_16_bit_and_of_the_right_size(tmp_path):
    save_image(tmp_path / "a.jpg", 12, 16)
    item = DepthItem(tmp_path / "a.jpg", tmp_path / "a.png")
    assert not is_complete(item, None)
    write_depth(item.depth, np.zeros((12, 16), np.float32))
    assert is_complete(item, None) and is_complete(item, 12) and not is_complete(item, 6)
    assert not is_complete(DepthItem(item.image, item.depth, size=(16, 12)), None)
    Image.fromarray(np.zeros((12, 16), np.uint8)).save(item.depth)
    assert not is_complete(item, None), "8 bits"
    item.depth.write_bytes(b"")
    assert not is_complete(item, None)
    write_depth(item.depth, np.zeros((12, 16), np.float32))
    item.image.write_bytes(b"broken")
    assert not is_complete(item, None)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_counts_for_size_and_pixels(tmp_path, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    save_image(tmp_path / "a.jpg", 12, 16, exif=exif)
    item = DepthItem(tmp_path / "a.jpg", tmp_path / "a.png")
    size = (12, 16) if orientation <= 4 else (16, 12)
    assert read_rgb(item).shape == (*size, 3)
    write_depth(item.depth, np.zeros(size, np.float32))
    assert is_complete(item, None)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK"])
def test_every_kind_of_image_becomes_rgb(tmp_path, mode):
    values = np.full((4, 6, 3), 255, np.uint8)
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Image.fromarray(values).convert(mode if mode != "LA" else "L").convert(mode).save(path)
    image = read_rgb(DepthItem(path, tmp_path / "d.png"))
    assert image.dtype == np.uint8 and image.flags.writeable and np.array_equal(image, values)


def test_a_size_unlike_the_annotations_is_an_error(tmp_path):
    save_image(tmp_path / "a.jpg", 12, 16)
    with pytest.raises(PseudoDepthError, match=r"12 x 16 .* 16 x 12"):
        read_rgb(DepthItem(tmp_path / "a.jpg", tmp_path / "a.png", (16, 12)))


@pytest.mark.parametrize(
    ("name", "frames"),
    [("a.gif", 3), ("a.tif", 2), ("a.webp", 2), ("a.png", 2), ("b.gif", 1), ("b.png", 1), ("b.jpg", 1)],
)
def test_files_of_several_pages_are_recognized(tmp_path, name, frames):
    images = [Image.fromarray(np.full((4, 6, 3), 80 * n, np.uint8)) for n in range(frames)]
    images[0].save(tmp_path / name, **({"save_all": True, "append_images": images[1:]} if frames > 1 else {}))
    item = DepthItem(tmp_path / name, tmp_path / "depth.png")
    assert has_several_pages(item) is (frames > 1) and read_rgb(item).max() <= 1
