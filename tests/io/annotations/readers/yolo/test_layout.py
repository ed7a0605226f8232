"""Folders of YOLO datasets: splits, lists of images and image folders."""

import pytest
from reader_toy import FILES, require_boxes, rules_of, with_yaml, write_text, write_yolo, write_yolo_splits

from depthbox.io.annotations.readers.yolo import read_yolo, yolo_splits
from depthbox.io.annotations.records import AnnotationError


@pytest.fixture
def both(tmp_path):
    return write_yolo_splits(tmp_path)


def test_splits(both):
    assert yolo_splits(both) == ("train", "val")
    require_boxes(read_yolo(both), FILES)
    require_boxes(read_yolo(both / "data.yaml", split="val"), ["v.jpg"])
    assert read_yolo(both, split="test") is None


@pytest.mark.parametrize("path", ["/content/drive/MyDrive/fruits", r"C:\data\fruits", "../fruits"])
def test_a_path_of_another_machine(both, path):
    with_yaml(both, f"path: {path}\ntrain: images/train\nval: images/val\nnames: [a, b]\n")
    raw = read_yolo(both)
    require_boxes(raw, FILES)
    assert rules_of(raw) == {"path_of_another_machine": 1} and raw.notes[0].kind == "repaired"
    assert yolo_splits(both) == ("train", "val")


@pytest.mark.parametrize("entry", ["/content/fruits/images/train", r"D:\fruits\images\train", "fruits/images/train"])
def test_an_entry_of_another_machine(both, entry):
    with_yaml(both, f"train: {entry}\nval: images/val\nnames: [a, b]\n")
    raw = read_yolo(both)
    require_boxes(raw, FILES)
    assert rules_of(raw) == {"path_of_another_machine": 1}


def test_a_lone_images_folder_does_not_stand_for_a_split(both):
    with_yaml(both, "train: images/train\ntest: /x/test/images\nnames: [a, b]\n")
    with pytest.raises(AnnotationError, match=r"names the images of 'test' as '/x/test/images', but .* does not exist"):
        read_yolo(both, split="test")
    assert yolo_splits(both) == ("train",)


@pytest.mark.parametrize("prefix", ["../", "", "./"])
def test_roboflow(tmp_path, prefix):
    name = "IMG_1_jpg.rf.0a1b2c.jpg"
    for split in ("train", "valid"):
        write_yolo(tmp_path / "export", f"{split}/images", names=[name], yaml=None)
    write_yolo(tmp_path, "train/images", names=["other.jpg"], yaml=None)  # beside the dataset
    entries = "".join(f"{key}: {prefix}{folder}/images\n" for key, folder in (("train", "train"), ("val", "valid")))
    with_yaml(
        tmp_path / "export", f"{entries}test: ../test/images\nnc: 2\nnames: ['a', 'b']\nroboflow: {{version: 1}}\n"
    )
    raw = read_yolo(tmp_path / "export")
    require_boxes(raw, [name])
    assert raw.image_root == tmp_path / "export/train/images"
    assert rules_of(raw) == {"split_not_found": 1}
    require_boxes(read_yolo(tmp_path / "export", split="valid"), [name])
    assert yolo_splits(tmp_path / "export") == ("train", "val")


def test_a_folder_beside_the_folder_of_the_yaml(both):
    write_text(both / "cfg/fruits.yaml", "path: ..\ntrain: images/train\nnames: [a, b]\n")
    write_text(both / "cfg/more.yaml", "train: ../images/train\nnames: [a, b]\n")
    require_boxes(read_yolo(both / "cfg/fruits.yaml"), FILES)
    require_boxes(read_yolo(both / "cfg/more.yaml"), FILES)


def test_lists_of_folders(tmp_path):
    write_yolo(tmp_path, "images/a", count=2, yaml=None)
    write_yolo(tmp_path, "images/b", count=1, yaml="train: [images/a, images/b]\nnames: [a, b]\n")
    raw = read_yolo(tmp_path)
    require_boxes(raw, ["images/a/000.jpg", "images/a/001.jpg", "images/b/000.jpg"])
    assert raw.image_root == tmp_path and not raw.notes


@pytest.mark.parametrize(
    "line",
    [
        "images/train/{name}",
        "./images/train/{name}",
        "{folder}/images/train/{name}",
        "/content/disk/fruits/images/train/{name}",
        r"C:\fruits\images\train\{name}",
        "../fruits/images/train/{name}",
        "data/somewhere/{name}",
    ],
)
def test_lists_of_images(tmp_path, line):
    write_yolo(tmp_path, yaml="path: .\ntrain: train.txt\nval: [val.txt]\nnames: [a, b]\n")
    for split, names in (("train", FILES[:2]), ("val", FILES[2:])):
        write_text(
            tmp_path / f"{split}.txt", "".join(line.format(name=name, folder=tmp_path) + "\r\n" for name in names)
        )
    require_boxes(read_yolo(tmp_path), [f"images/train/{name}" for name in FILES[:2]])
    require_boxes(read_yolo(tmp_path, split="val"), ["images/train/002.jpg"])


def test_a_list_does_not_leave_the_folder_of_the_dataset(tmp_path):
    outside = write_yolo(tmp_path / "private", names=["secret.jpg"], yaml=None)
    folder = write_yolo(tmp_path / "data", yaml="train: train.txt\nnames: [a, b]\n")
    lines = [
        "images/train/000.jpg",
        "../private/images/train/secret.jpg",
        str(outside / "images/train/secret.jpg"),
        "gone.jpg",
    ]
    write_text(folder / "train.txt", "\n".join(lines))
    raw = read_yolo(folder)
    require_boxes(raw, ["images/train/000.jpg"])
    assert rules_of(raw) == {"listed_image_not_found": 3}


def test_splits_shown_by_folders_alone(both):
    for text in ("names: [a, b]\n", "names: [a, b]\ntrain:\nval: null\n"):
        with_yaml(both, text)
        assert yolo_splits(both) == ("train", "val")
        require_boxes(read_yolo(both, split="val"), ["v.jpg"])


@pytest.mark.parametrize("place", ["classes.txt", "labels/classes.txt", "obj.names", "labels/train/classes.txt"])
def test_lists_of_names_instead_of_a_yaml(both, place):
    (both / "data.yaml").unlink()
    write_text(both / place, "a\nb\n")
    assert yolo_splits(both) == ("train", "val")
    require_boxes(read_yolo(both), FILES)
    require_boxes(read_yolo(both / place), FILES)


def test_everything_in_one_folder(tmp_path):
    write_yolo(tmp_path, ".", yaml=None)
    write_text(tmp_path / "classes.txt", "a\nb\n")
    raw = read_yolo(tmp_path)
    require_boxes(raw, FILES)
    assert yolo_splits(tmp_path) == () and not raw.notes
    require_boxes(read_yolo(tmp_path, split="val"), FILES)


def test_darknet(tmp_path):
    write_yolo(tmp_path, "obj_train_data", yaml=None)
    write_text(tmp_path / "obj.names", "a\nb\n")
    write_text(tmp_path / "obj.data", "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n")
    write_text(tmp_path / "train.txt", "".join(f"data/obj_train_data/{name}\n" for name in FILES[:2]))
    for source in (tmp_path, tmp_path / "obj.data"):
        require_boxes(read_yolo(source), [f"obj_train_data/{name}" for name in FILES[:2]])
    (tmp_path / "obj.names").unlink()
    with pytest.raises(AnnotationError, match=r"names the classes 'data/obj\.names'"):
        read_yolo(tmp_path)


@pytest.mark.parametrize("given", ["images/train", "images", "."])
def test_an_image_folder_given_by_the_user(both, given):
    require_boxes(read_yolo(both, images=both / given), FILES)
    require_boxes(read_yolo(both, images=both / "images", split="val"), ["v.jpg"])


def test_images_given_elsewhere(both, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "train"
    (both / "images/train").rename(other)
    with pytest.raises(AnnotationError, match="give the folder with --images"):
        read_yolo(both)
    raw = read_yolo(both, images=other)
    require_boxes(raw, FILES)
    assert raw.image_root == other
    with pytest.raises(AnnotationError, match=r"the folder .*gone does not exist; correct --images"):
        read_yolo(both, images=both / "gone")


def test_names_with_dots_brackets_and_other_alphabets(tmp_path):
    names = ["100%.jpg", "IMG_1_jpg.rf.0a1b.jpg", "größe 1.jpg", "x [1].jpg", "图像.jpg"]
    require_boxes(read_yolo(write_yolo(tmp_path, names=names)), names)


def test_hidden_files_are_skipped(tmp_path):
    write_yolo(tmp_path)
    for name in ("images/train/._000.jpg", "images/train/.cache/a.jpg", "labels/train/._000.txt", "__MACOSX/a.jpg"):
        write_text(tmp_path / name, "junk")
    raw = read_yolo(tmp_path)
    require_boxes(raw, FILES)
    assert not raw.notes
