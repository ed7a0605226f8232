"""Sources of a user's own data, the request built from options, and the rows of the plan."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depthbox.config import ConfigError
from depthbox.custom_data import plan
from depthbox.custom_data.models import choose_model
from depthbox.custom_data.plan import OwnTraining, choose_device, configure_own, gpu_gigabytes
from depthbox.custom_data.plan_table import format_plan
from depthbox.custom_data.recipe import choose_batch
from depthbox.custom_data.sources import OwnData, OwnDataError, read_sources, shared_images

HEIGHT, WIDTH = 40, 60


def save(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def write_coco(folder, numbers, name="boxes.json", classes=("cat", "dog"), **more):
    """Write images and a COCO file with one large object per image, of both classes in turn."""
    images, annotations = [], []
    for number in numbers:
        save(folder / "images" / f"{number}.png", number)
        images.append({"id": number, "file_name": f"{number}.png", "height": HEIGHT, "width": WIDTH})
        entry = {"id": number + 1, "image_id": number, "category_id": number % len(classes), "bbox": [5, 5, 40, 30]}
        annotations.append({**entry, **more})
    categories = [{"id": number, "name": label} for number, label in enumerate(classes)]
    (folder / name).write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return folder / name


def write_yolo_split(folder, split, numbers):
    for number in numbers:
        save(folder / "images" / split / f"{number}.png", number)
        label = folder / "labels" / split / f"{number}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text("0 0.5 0.5 0.5 0.5\n")


def files_of(source):
    return [image["file_name"] for image in source.annotations.content["images"]]


def test_one_set_is_one_source_and_its_own_validation_split_a_second(tmp_path):
    data = write_coco(tmp_path / "coco", range(4))
    (source,) = read_sources(OwnData(data, data.parent / "images"), progress=False)
    assert files_of(source) == ["0.png", "1.png", "2.png", "3.png"]
    write_yolo_split(tmp_path / "yolo", "train", range(3))
    write_yolo_split(tmp_path / "yolo", "val", range(5, 7))
    yaml = tmp_path / "yolo" / "data.yaml"
    yaml.write_text("train: images/train\nval: images/val\nnames: [thing]\n")
    train, val = read_sources(OwnData(yaml), progress=False)
    assert (files_of(train), files_of(val)) == (["0.png", "1.png", "2.png"], ["5.png", "6.png"])


@pytest.mark.parametrize(
    ("splits", "chosen"), [(("train", "val", "test"), "val"), (("train", "test"), "test"), (("train",), "train")]
)
def test_divided_validation_data_are_used_by_their_validation_split_first(tmp_path, splits, chosen):
    data = write_coco(tmp_path / "coco", range(4), classes=("thing",))
    lines = ["names: [thing]", *(f"{split}: images/{split}" for split in splits)]
    for place, split in enumerate(splits):
        write_yolo_split(tmp_path / "yolo", split, range(10 * place + 10, 10 * place + 12))
    (tmp_path / "yolo" / "data.yaml").write_text("\n".join(lines))
    own = OwnData(data, data.parent / "images", val_data=tmp_path / "yolo" / "data.yaml")
    _, val = read_sources(own, progress=False)
    assert val.annotations.image_root.name == chosen


def test_a_set_without_a_training_split_names_what_there_is(tmp_path):
    write_yolo_split(tmp_path / "yolo", "val", range(2))
    yaml = tmp_path / "yolo" / "data.yaml"
    yaml.write_text("val: images/val\nnames: [thing]\n")
    with pytest.raises(OwnDataError, match=r"has no split 'train' \(found: val\): name the training images"):
        read_sources(OwnData(yaml), progress=False)


@pytest.mark.parametrize("share", [-0.1, 1, 1.5, float("nan"), float("inf")])
def test_a_share_outside_0_to_1_is_named(tmp_path, share):
    data = write_coco(tmp_path, range(2))
    with pytest.raises(OwnDataError, match=r"--val-share is .*: it must be at least 0 and below 1"):
        read_sources(OwnData(data, tmp_path / "images", val_share=share), progress=False)


def test_the_classes_of_validation_objects_are_numbered_as_those_of_training(tmp_path):
    data = write_coco(tmp_path / "train", range(4), classes=("cat", "dog", "okapi"))
    val = write_coco(tmp_path / "val", range(10, 14), classes=("DOG", "cat"))
    own = OwnData(data, data.parent / "images", val_data=val, val_images=val.parent / "images")
    train, found = read_sources(own, progress=False)
    names = {c["id"]: c["name"] for c in found.annotations.content["categories"]}
    assert names == {c["id"]: c["name"] for c in train.annotations.content["categories"]}
    labels = [names[entry["category_id"]] for entry in found.annotations.content["annotations"]]
    assert labels == ["dog", "cat", "dog", "cat"]
    assert dict(found.annotations.ids.categories) == dict(train.annotations.ids.categories)


def test_shared_images_are_found_by_path_and_by_bytes_but_not_by_name(tmp_path):
    first = write_coco(tmp_path / "a", range(6))
    second = write_coco(tmp_path / "b", range(20, 26))
    for number in range(3):
        copy = tmp_path / "b" / "images" / f"{20 + number}.png"
        copy.write_bytes((tmp_path / "a" / "images" / f"{number}.png").read_bytes())
    own = OwnData(first, first.parent / "images", val_data=second, val_images=second.parent / "images")
    note = shared_images(read_sources(own, progress=False))
    assert note.count == 3 and note.examples == ("20.png", "21.png", "22.png") and note.kind == "contradiction"
    own = dataclasses.replace(own, val_data=first, val_images=first.parent / "images")
    assert shared_images(read_sources(own, progress=False)).count == 6, "the same files"
    for number in range(6):
        save(tmp_path / "b" / "images" / f"{number}.png", 100 + number)
    other = write_coco(tmp_path / "c", range(6))
    for number in range(6):
        save(tmp_path / "c" / "images" / f"{number}.png", 200 + number)
    own = dataclasses.replace(own, val_data=other, val_images=other.parent / "images")
    assert shared_images(read_sources(own, progress=False)) is None, "equal names alone are no copy"


def test_options_become_the_request_and_others_keep_their_defaults():
    options = {"data": "a.json", "images": "photos", "val_share": 0.25, "split_seed": 7, "epochs": 2.5, "model": "tiny"}
    training = OwnTraining.from_options(options, processes=3)
    assert training.own == OwnData(Path("a.json"), Path("photos"), val_share=0.25, seed=7)
    assert (training.epochs, training.model, training.processes, training.iterations) == (2.5, "tiny", 3, 0)
    plain = OwnTraining.from_options({"data": "a.json"})
    assert plain == OwnTraining(OwnData(Path("a.json")), output=str(Path("output/a")))


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("cats/boxes.json", "boxes"),
        ("cats/data.yaml", "cats"),
        ("cats/Annotations.xml", "cats"),
        ("cats/_annotations.coco.json", "cats"),
        ("cats/train.v2.json", "train.v2"),
        ("cats", "cats"),
        (".", "work"),
        ("cats/..", "work"),
        ("data.yaml", "work"),
    ],
)
def test_a_run_is_named_after_its_data(tmp_path, monkeypatch, data, name):
    (tmp_path / "work" / "cats").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    assert OwnTraining.from_options({"data": data}).output == str(Path("output") / name)


@pytest.mark.parametrize(("available", "chosen"), [(True, "cuda"), (False, "cpu")])
def test_the_device_is_a_gpu_if_there_is_one_unless_it_is_named(monkeypatch, available, chosen):
    monkeypatch.setattr(plan.torch.cuda, "is_available", lambda: available)
    assert choose_device("") == choose_device("auto") == chosen
    assert choose_device("cpu") == "cpu" and choose_device("cuda:1") == "cuda:1"


def test_the_memory_of_a_gpu_is_in_gibibytes_and_decides_on_the_batch(monkeypatch):
    monkeypatch.setattr(plan.torch.cuda, "is_available", lambda: True)
    properties = type("Properties", (), {"total_memory": 12 * 2**30})
    monkeypatch.setattr(plan.torch.cuda, "get_device_properties", lambda device: properties)
    assert gpu_gigabytes("cuda") == 12 and gpu_gigabytes("cpu") == 0
    model = choose_model("R_50", "cuda")
    assert choose_batch(model, "cuda", gpu_gigabytes("cuda"), 1, 1000) == model.images_per_gpu // 2


def rows_of(text):
    """Return name -> planned value of the table."""
    rows = {}
    for line in text.splitlines()[2:]:
        name, value = line[:10].strip(), line[10:52].strip()
        if name:
            rows[name] = value
            last = name
        else:
            rows[last] = f"{rows[last]} {value}".strip()
    return rows


def test_the_plan_states_what_the_config_does(tmp_path):
    data = write_coco(tmp_path / "coco", range(8), classes=tuple("abcdef"))
    own = OwnData(data, data.parent / "images", val_share=0.25)
    training = OwnTraining(own, str(tmp_path / "out"), "tiny", device="cpu", batch_size=2, iterations=90, size=64)
    run = configure_own(training, ["SOLVER.BASE_LR", "0.25"], check=False)
    rows = rows_of(format_plan(run))
    assert rows["data"] == f"{run.data.train.annotated} images with {run.data.train.objects} objects"
    assert rows["classes"] == "6: a, b, c, d, ..." and rows["device"] == "cpu"
    assert rows["test on"].startswith(f"{run.data.val.count} images: box AP only")
    assert rows["batch"] == "2 images" and rows["length"].startswith("90 iterations, ")
    assert rows["length"].endswith(f"{90 * 2 / run.data.train.annotated:.1f} epochs")
    assert rows["rate"] == "0.25 (ADAMW) warm-up 9, divided by 10 at 60 and 80"
    assert rows["tested"] == (
        f"every {run.cfg.TEST.EVAL_PERIOD} iterations" if run.cfg.TEST.EVAL_PERIOD else "at the end"
    )
    assert "depth" not in rows and "teacher" not in rows and rows["method"] == "boxinst: boxes and color"


def test_the_plan_without_validation_and_with_masks(tmp_path):
    data = write_coco(tmp_path / "coco", range(4), segmentation=[[5, 5, 45, 5, 45, 35]])
    own = OwnData(data, data.parent / "images", val_share=0)
    training = OwnTraining(own, str(tmp_path / "out"), "tiny", device="cpu", weights="none", iterations=9)
    rows = rows_of(format_plan(configure_own(training, check=False)))
    assert rows["test on"] == "nothing" and rows["tested"] == "never" and "random weights" in rows["network"]
    training = dataclasses.replace(training, own=dataclasses.replace(own, val_share=0.5))
    assert rows_of(format_plan(configure_own(training, check=False)))["test on"] == "2 images: box AP and mask AP"


def test_mistakes_in_overrides_come_before_the_data_are_read(tmp_path):
    training = OwnTraining(OwnData(tmp_path / "gone.json"), str(tmp_path / "out"), device="cpu")
    with pytest.raises(ConfigError, match=r"did you mean SOLVER\.MAX_ITER"):
        configure_own(training, ["SOLVER.MAX_ITERS", "3"])
