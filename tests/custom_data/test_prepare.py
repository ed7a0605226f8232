"""A user's own data: sources, split, classes, and the config made of them."""

import json

import numpy as np
import pytest
from PIL import Image

from depthbox.custom_data.plan import OwnTraining, configure_own
from depthbox.custom_data.plan_table import format_plan
from depthbox.custom_data.prepare import prepare, require_same_splits, write_splits
from depthbox.custom_data.sources import OwnData, OwnDataError
from depthbox.custom_data.split import split_names, take_images
from depthbox.data.depth_io import write_depth

COUNT = 10


@pytest.fixture
def data(tmp_path):
    """Ten images of 60 x 80 with two objects each, but for the last, which has none; ids with gaps."""
    (tmp_path / "images").mkdir()
    images, annotations = [], []
    for number in range(COUNT):
        name = f"{number}.png"
        Image.fromarray(np.full((60, 80, 3), 20 * number, np.uint8)).save(tmp_path / "images" / name)
        write_depth(tmp_path / "depth" / name, np.tile(np.linspace(0, 1, 80), (60, 1)))
        images.append({"id": 7 * number + 1, "file_name": name, "height": 60, "width": 80})
        for place in range(2 * (number < COUNT - 1)):
            box = [5 + 20 * place, 6 + number, 14, 20]
            row = {"id": len(annotations) + 1, "image_id": 7 * number + 1, "category_id": (9, 4)[place], "bbox": box}
            annotations.append(row)
    categories = [{"id": 9, "name": "nine"}, {"id": 4, "name": "four"}]
    write(tmp_path / "boxes.json", {"images": images, "annotations": annotations, "categories": categories})
    return tmp_path


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def own(data, **more):
    return OwnData(**{"data": data / "boxes.json", "images": data / "images", **more})


def test_the_split_keeps_all_images_and_annotations(data, tmp_path):
    prepared = prepare(own(data, val_share=0.3), tmp_path / "out")
    assert not (tmp_path / "out").exists(), "nothing is written before the run starts"
    assert write_splits(prepared) == [tmp_path / "out" / "data" / "train.json", tmp_path / "out" / "data" / "val.json"]
    parts = [json.loads(part.json_file.read_text()) for part in (prepared.train, prepared.val)]
    whole = json.loads((data / "boxes.json").read_text())
    assert [len(part["images"]) for part in parts] == [7, 3]
    for key in ("images", "annotations"):
        rows = {row["id"]: row for part in parts for row in part[key]}
        assert sorted(rows) == [row["id"] for row in whole[key]]
        assert all({**rows[row["id"]], **row} == rows[row["id"]] for row in whole[key])
    for part in parts:
        ids = {image["id"] for image in part["images"]}
        assert {row["image_id"] for row in part["annotations"]} <= ids and part["categories"] == sorted(
            whole["categories"], key=lambda c: c["id"]
        )
    assert prepared.classes == ("four", "nine"), "in the order of their ids"
    assert prepared.train.annotated + prepared.val.annotated == COUNT - 1
    assert prepared.object_share == pytest.approx((14 * 20) ** 0.5 / 60)
    assert prepared.short_side == 60 and prepared.train.json_file.is_absolute() and not prepared.val.masks


def test_split_depends_on_the_seed_and_is_stable_under_new_images():
    names = [f"{i}.png" for i in range(100)]
    val = split_names(names, 0.2, 0)
    assert len(val) == 20 and val == split_names(names[::-1], 0.2, 0) and val != split_names(names, 0.2, 1)
    grown = split_names([*names, *(f"new{i}.png" for i in range(10))], 0.2, 0)
    assert len(val & grown) >= 17
    assert len(split_names(["a", "b"], 0.9, 0)) == 1 and len(split_names(["a", "b", "c"], 0.01, 0)) == 1
    assert take_images({"images": [], "annotations": [], "categories": [1]}, set())["categories"] == [1]


def test_named_validation_data_are_used_as_they_are(data, tmp_path):
    content = json.loads((data / "boxes.json").read_text())
    content["annotations"][0]["segmentation"] = [[5, 6, 19, 6, 19, 26]]
    val = write(tmp_path / "val.json", content)
    prepared = prepare(own(data, val_data=val, val_images=data / "images"), tmp_path / "out")
    assert (prepared.train.count, prepared.val.count) == (COUNT, COUNT)
    assert prepared.val.masks and not prepared.train.masks and not (tmp_path / "out").exists()


def test_validation_classes_are_matched_by_name(data, tmp_path):
    content = json.loads((data / "boxes.json").read_text())
    content["categories"] = [{"id": 4, "name": "nine"}, {"id": 1, "name": "Four "}]
    for row in content["annotations"]:
        row["category_id"] = {9: 4, 4: 1}[row["category_id"]]
    val = write(tmp_path / "val.json", content)
    prepared = prepare(own(data, val_data=val, val_images=data / "images"), tmp_path / "out")
    assert prepared.val.content["categories"] == [{"id": 4, "name": "four"}, {"id": 9, "name": "nine"}]
    assert [row["category_id"] for row in prepared.val.content["annotations"][:2]] == [9, 4]
    content["categories"][0]["name"] = "other"
    write(val, content)
    with pytest.raises(ValueError, match=r"'other'.*of the run: 'four', 'nine'"):
        prepare(own(data, val_data=val, val_images=data / "images"), tmp_path / "out")


def test_validation_images_that_are_trained_on_are_reported(data, tmp_path, caplog):
    (tmp_path / "copies").mkdir()
    content = json.loads((data / "boxes.json").read_text())
    content["images"] = content["images"][:2]
    content["annotations"] = content["annotations"][:4]
    for image in content["images"]:
        copy = tmp_path / "copies" / f"copy_{image['file_name']}"
        copy.write_bytes((data / "images" / image["file_name"]).read_bytes())
        image["file_name"] = copy.name
    val = write(tmp_path / "val.json", content)
    prepare(own(data, val_data=val, val_images=tmp_path / "copies"), tmp_path / "out", check=False)
    assert "2 validation images that are also trained on" in " ".join(caplog.text.split())


def test_resuming_needs_the_same_data(data, tmp_path):
    prepared = prepare(own(data), tmp_path / "out")
    require_same_splits(prepared)  # nothing written yet
    write_splits(prepared)
    require_same_splits(prepare(own(data), tmp_path / "out"))
    with pytest.raises(OwnDataError, match="--resume: the train data differ from those"):
        require_same_splits(prepare(own(data, val_share=0.5), tmp_path / "out"))


def test_missing_and_unreadable_images_are_left_out(data, tmp_path):
    (data / "images" / "0.png").unlink()
    (data / "images" / "1.png").write_bytes(b"")
    prepared = prepare(own(data, val_share=0), tmp_path / "out")
    assert prepared.train.count == COUNT - 2 and prepared.train.objects == 2 * (COUNT - 3)
    for number in range(2, 8):
        (data / "images" / f"{number}.png").unlink()
    with pytest.raises(OwnDataError, match=r"7 of \d+ images of .*boxes.json do not exist.*correct --images"):
        prepare(own(data, val_share=0), tmp_path / "out")


def test_images_of_another_size_are_left_out_without_a_check(data, tmp_path):
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(data / "images" / "0.png")
    prepared = prepare(own(data, val_share=0), tmp_path / "out", check=False)
    assert prepared.train.count == COUNT - 1
    assert "0.png" not in {image["file_name"] for image in prepared.train.content["images"]}
    with pytest.raises(OwnDataError, match="1 kind of errors"):
        prepare(own(data, val_share=0), tmp_path / "out")


def test_validation_images_have_objects(data, tmp_path):
    content = json.loads((data / "boxes.json").read_text())
    content["annotations"] = [row for row in content["annotations"] if row["image_id"] in (1, 15, 29)]
    write(data / "boxes.json", content)
    prepared = prepare(own(data), tmp_path / "out", check=False)
    assert prepared.val.annotated == 1 and prepared.train.annotated == 2


def test_a_share_of_zero_omits_validation(data, tmp_path):
    prepared = prepare(own(data, val_share=0), tmp_path / "out")
    assert prepared.val is None and prepared.train.count == COUNT
    run = configure_own(OwnTraining(own(data, val_share=0), str(tmp_path / "out"), "tiny", device="cpu"))
    assert run.cfg.DATASETS.TEST == () and run.cfg.TEST.EVAL_PERIOD == 0 and "test on   nothing" in format_plan(run)


def test_a_single_image_or_no_object_is_refused(data, tmp_path):
    content = json.loads((data / "boxes.json").read_text())
    single = {**content, "images": content["images"][:1], "annotations": content["annotations"][:2]}
    write(data / "boxes.json", single)
    with pytest.raises(OwnDataError, match="a single image"):
        prepare(own(data), tmp_path / "out")
    single["annotations"] = [dict(row, iscrowd=1) for row in single["annotations"]]
    write(data / "boxes.json", single)
    with pytest.raises(OwnDataError, match=r"no image of .* has an object"):
        prepare(own(data, val_share=0), tmp_path / "out", check=False)


def test_errors_are_found_before_anything_is_written(data, tmp_path, capsys):
    (data / "depth" / "3.png").unlink()
    prepare(own(data), tmp_path / "without")
    with pytest.raises(OwnDataError, match="1 kind of errors"):
        prepare(own(data, depth=data / "depth"), tmp_path / "out")
    assert "[depth_missing]" in capsys.readouterr().out and not (tmp_path / "out").exists()
    prepare(own(data, depth=data / "depth"), tmp_path / "out", check=False)
    write(data / "boxes.json", [])
    with pytest.raises(ValueError, match=r"boxes.json is not a COCO JSON file"):
        prepare(own(data), tmp_path / "other", check=False)


def test_yolo_is_converted_once_with_its_own_validation(data, tmp_path):
    for split, numbers in (("train", range(6)), ("val", range(6, 8))):
        for number in numbers:
            for kind in ("images", "labels"):
                (tmp_path / "yolo" / kind / split).mkdir(parents=True, exist_ok=True)
            source = data / "images" / f"{number}.png"
            (tmp_path / "yolo" / "images" / split / source.name).write_bytes(source.read_bytes())
            (tmp_path / "yolo" / "labels" / split / f"{number}.txt").write_text("1 0.5 0.5 0.25 0.5\n")
    (tmp_path / "yolo" / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [a, b]\n")
    prepared = prepare(OwnData(tmp_path / "yolo"), tmp_path / "out")
    assert (prepared.train.count, prepared.val.count, prepared.classes) == (6, 2, ("a", "b"))
    write_splits(prepared)
    assert prepared.train.json_file == tmp_path / "out" / "data" / "train.json"
    content = json.loads(prepared.val.json_file.read_text())
    assert content["annotations"][0]["bbox"] == [30, 15, 20, 30] and content["annotations"][0]["category_id"] == 2
    split = prepare(OwnData(tmp_path / "yolo", images=tmp_path / "yolo" / "images" / "train"), tmp_path / "again")
    assert (split.train.count, split.val.count) == (5, 1), "images that are named are split"


def test_the_config_contains_all_paths(data, tmp_path):
    training = OwnTraining(own(data, depth=data / "depth"), str(tmp_path / "mine"), "tiny", device="cpu")
    run = configure_own(training)
    assert run.method == "depthbox" and run.cfg.is_frozen()
    (train, val) = run.cfg.DATASETS.COCO_STYLE
    assert train == ["mine_train", str(tmp_path / "mine/data/train.json"), str(data / "images"), str(data / "depth")]
    assert val[0] == "mine_val" and val[3] == "" and run.cfg.DATASETS.TRAIN == ("mine_train",)
    assert run.cfg.MODEL.FCOS.NUM_CLASSES == 2 and str(tmp_path / "mine") == run.cfg.OUTPUT_DIR
    lines = format_plan(run).splitlines()
    assert max(map(len, lines)) <= 79 and any(line.startswith("teacher") for line in lines)


def test_overrides_take_precedence_and_are_inputs_of_the_rules(data, tmp_path):
    training = OwnTraining(own(data), str(tmp_path / "a"), "tiny", device="cpu", iterations=50)
    words = ["SOLVER.MAX_ITER", "900", "SOLVER.IMS_PER_BATCH", "2", "SOLVER.STEPS", "(5,)"]
    cfg = configure_own(training, [*words, "OUTPUT_DIR", str(tmp_path / "b")]).cfg
    assert cfg.SOLVER.MAX_ITER == 900 and cfg.SOLVER.WARMUP_ITERS == 90 and cfg.SOLVER.STEPS == (5,)
    assert pytest.approx(0.0007 * 2 / 4) == cfg.SOLVER.BASE_LR and str(tmp_path / "b") == cfg.OUTPUT_DIR
    assert not (tmp_path / "a").exists() and not (tmp_path / "b").exists()
