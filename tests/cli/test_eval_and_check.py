"""depthbox eval on other data and depthbox check: the files they write, their status, and mistakes in one line."""

import json
import math
import re
from pathlib import Path

import pytest

from depthbox import add_depthbox_config
from depthbox.cli import eval as evaluate
from depthbox.cli.main import main
from depthbox.config import load_config


@pytest.fixture
def run_folder(scenes, tmp_path):
    """The folder of a run with its classes, and weights that nothing reads."""
    folder = tmp_path / "run"
    (folder / "data").mkdir(parents=True)
    content = json.loads((scenes / "boxes.json").read_text())
    (folder / "data" / "train.json").write_text(json.dumps(content))
    entry = ["mine_train", str(folder / "data" / "train.json"), str(scenes / "train"), ""]
    count = len(content["categories"])
    words = ["DATASETS.COCO_STYLE", repr([entry]), "DATASETS.TRAIN", "('mine_train',)", "DATASETS.TEST", "()"]
    words += ["MODEL.FCOS.NUM_CLASSES", str(count), "MODEL.DEVICE", "cpu", "OUTPUT_DIR", str(folder)]
    cfg = load_config(add_depthbox_config, overrides=["MODEL.META_ARCHITECTURE", "DepthBox", *words])
    (folder / "config.yaml").write_text(cfg.dump())
    (folder / "model_final.pth").write_bytes(b"weights")
    return folder


@pytest.fixture
def started(monkeypatch):
    """The configs of evaluations that were started, none of which runs."""
    configs = []
    monkeypatch.setattr(evaluate, "launch_run", lambda arguments, cfg, job, num_gpus: configs.append(cfg))
    return configs


def one_line(capsys):
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err and shown.err.count("\n") == 1, shown.err
    return shown.err


def truth_of(cfg):
    ((name, file, images, depth),) = cfg.DATASETS.COCO_STYLE
    assert (name,) == cfg.DATASETS.TEST and depth == ""
    return name, Path(file), Path(images)


def test_a_finished_run_is_evaluated_with_its_own_weights(run_folder, scenes, started):
    more = ["--data", str(scenes / "boxes.json"), "--images", str(scenes / "train")]
    assert main(["eval", "--run", str(run_folder), *more]) == 0
    (cfg,) = started
    assert str(run_folder / "model_final.pth") == cfg.MODEL.WEIGHTS and str(run_folder) == cfg.OUTPUT_DIR
    name, file, images = truth_of(cfg)
    assert (name, images) == ("boxes", scenes / "train")
    assert file == run_folder / "inference" / "boxes" / "ground_truth.json"
    assert json.loads(file.read_text())["categories"] == sorted(
        json.loads((scenes / "boxes.json").read_text())["categories"], key=lambda entry: entry["id"]
    )


@pytest.mark.parametrize("source", [".", "..", "./here/.."])
def test_data_named_by_a_relative_folder_stay_inside_the_output(run_folder, scenes, started, monkeypatch, source):
    folder = run_folder.parent / "photos"
    (folder / "here").mkdir(parents=True)
    content = json.loads((scenes / "boxes.json").read_text())
    image, label = content["images"][0]["file_name"], content["categories"][0]["name"]
    box = "<bndbox><xmin>3</xmin><ymin>4</ymin><xmax>20</xmax><ymax>30</ymax></bndbox>"
    text = f"<annotation><filename>{image}</filename><object><name>{label}</name>{box}</object></annotation>"
    (folder / Path(image).with_suffix(".xml").name).write_text(text)
    monkeypatch.chdir(folder / "here" if source == ".." else folder)
    assert main(["eval", "--run", str(run_folder), "--data", source, "--images", str(scenes / "train")]) == 0
    name, file, _ = truth_of(started[0])
    assert name == "photos" and file == run_folder / "inference" / "photos" / "ground_truth.json"
    assert file.is_file() and not (run_folder / "ground_truth.json").exists()


@pytest.mark.parametrize("extra", [[], ["OUTPUT_DIR", "elsewhere"]])
def test_the_output_is_the_folder_of_the_run_unless_it_is_named(run_folder, scenes, started, tmp_path, extra):
    extra = [str(tmp_path / word) if word == "elsewhere" else word for word in extra]
    more = ["--data", str(scenes / "boxes.json"), "--images", str(scenes / "train")]
    moved = run_folder.rename(tmp_path / "moved")
    assert main(["eval", "--run", str(moved), *more, *extra]) == 0
    _, file, _ = truth_of(started[0])
    output = tmp_path / "elsewhere" if extra else moved
    assert file.is_relative_to(output) and file.is_file()


def test_data_without_the_classes_of_the_run_are_refused_with_both_lists(run_folder, scenes, started, capsys, tmp_path):
    content = json.loads((scenes / "boxes.json").read_text())
    content["categories"].append({"id": 99, "name": "okapi"})
    content["annotations"][0]["category_id"] = 99
    (tmp_path / "other.json").write_text(json.dumps(content))
    more = ["--data", str(tmp_path / "other.json"), "--images", str(scenes / "train")]
    assert main(["eval", "--run", str(run_folder), *more]) == 2
    line = one_line(capsys)
    assert "'okapi'" in line and "of the run" in line and not started
    assert not (run_folder / "inference").exists(), "nothing is written"


def test_a_network_of_unknown_classes_needs_data_with_as_many(run_folder, scenes, started, capsys, tmp_path):
    (run_folder / "data" / "train.json").unlink()
    content = json.loads((scenes / "boxes.json").read_text())
    count = len(content["categories"])
    more = ["--data", str(tmp_path / "other.json"), "--images", str(scenes / "train")]
    (tmp_path / "other.json").write_text(json.dumps(content))
    assert main(["eval", "--run", str(run_folder), *more]) == 0 and len(started) == 1
    content["categories"].append({"id": 99, "name": "okapi"})
    (tmp_path / "other.json").write_text(json.dumps(content))
    capsys.readouterr()
    assert main(["eval", "--run", str(run_folder), *more]) == 2
    assert f"has {count + 1} classes, the network has {count}" in one_line(capsys)


def test_a_run_without_test_data_names_the_option(run_folder, capsys):
    assert main(["eval", "--run", str(run_folder)]) == 2
    assert "has no test images: name annotations with --data (and --images)" in one_line(capsys)
    assert main(["eval", "--run", str(run_folder), "--config-file", "a.yaml"]) == 2
    assert "name either a training run with --run or a config with --config-file" in one_line(capsys)


def test_the_report_of_an_evaluation_is_json_without_nan(tmp_path, monkeypatch, capsys):
    results = {"a": {"bbox": {"AP": 1.5, "APs": math.nan}}, "b": {"bbox": {"AP": 2}, "segm": {"AP": math.nan}}}
    monkeypatch.setattr("depthbox.engine.run.run", lambda cfg, **options: results)
    evaluate.evaluate_and_print(None, False, "command", tmp_path / "new" / "ap.json")
    written = (tmp_path / "new" / "ap.json").read_text()
    assert json.loads(written, parse_constant=pytest.fail) == {
        "a": {"bbox": {"AP": 1.5, "APs": None}}, "b": {"bbox": {"AP": 2.0}, "segm": {"AP": None}}
    }  # fmt: skip
    assert capsys.readouterr().out.endswith(f"report  {tmp_path / 'new' / 'ap.json'}\n")


def test_the_table_has_a_block_for_each_dataset_and_names_missing_truth():
    shown = evaluate.format_metrics(
        {"one": {"bbox": {"AP": 1}}, "two": {"bbox": {"AP": 2}, "segm": {"AP": 3}}, "three": {}}
    )
    blocks = re.split(r"(?m)^(?=\w)", shown)[1:]
    assert [block.split()[0] for block in blocks] == ["one", "two", "three"]
    assert "box AP only" in blocks[0] and "box AP only" not in blocks[1]
    assert "no ground truth: the data have no annotations" in blocks[2]
    assert blocks[1].splitlines()[2].split() == ["masks", "3.00", "-", "-", "-", "-", "-"]


def test_the_ap_of_voc_has_columns_of_its_own():
    shown = evaluate.format_metrics({"segm": {"mAP25": 4.0, "mAP50": 3.0, "mAP70": 2.0, "mAP75": float("nan")}})
    assert [line.split() for line in shown.splitlines()] == [
        ["mAP25", "mAP50", "mAP70", "mAP75"],
        ["masks", "4.00", "3.00", "2.00", "-"],
    ]


def words(data, images, *more):
    return ["check", "--data", str(data), "--images", str(images), *map(str, more)]


def test_a_check_of_broken_annotations_writes_page_and_report_but_no_copy(scenes, tmp_path, capsys):
    bad = tmp_path / "bad.json"
    bad.write_text('{"images": [')
    page, report, fixed = (tmp_path / name for name in ("look", "found.json", "fixed.json"))
    more = ["--output", page, "--report", report, "--fix", fixed]
    assert main(words(bad, scenes / "train", *more)) == 1
    shown = capsys.readouterr().out
    assert "[annotations_unreadable]" in shown and "not fixed: the annotations cannot be read" in shown
    (finding,) = json.loads(report.read_text())["findings"]
    assert finding["first"][0]["detail"].startswith(f"{bad} is not valid JSON: ") and not fixed.exists()
    assert "cannot be read" in (page / "index.html").read_text(), "the page exists and has the finding"


def test_a_repaired_copy_is_named_and_the_data_stay_as_they_are(scenes, tmp_path, capsys):
    content = json.loads((scenes / "boxes.json").read_text())
    content["annotations"].append({**content["annotations"][0], "id": 9999, "bbox": [1, 2, 0, 5]})
    data = tmp_path / "boxes.json"
    data.write_text(json.dumps(content))
    before, fixed = data.read_bytes(), tmp_path / "new" / "fixed.json"
    assert main(words(data, scenes / "train", "--fix", fixed)) == 0
    shown = capsys.readouterr().out
    assert f"fixed    {fixed}: 8 images, {len(content['annotations']) - 1} annotations" in shown
    assert "left out: 1 boxes whose width or height is not positive" in shown
    assert data.read_bytes() == before and 9999 not in [a["id"] for a in json.loads(fixed.read_text())["annotations"]]
    assert main(words(fixed, scenes / "train")) == 0, "the copy has no errors"


def refused(arguments, capsys):
    """Return the message of a command that ends with status 2 before it runs."""
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    return capsys.readouterr().err.splitlines()[-1]


def test_outputs_that_would_overwrite_each_other_or_the_data_are_refused(scenes, tmp_path, capsys):
    data = tmp_path / "boxes.json"
    data.write_text((scenes / "boxes.json").read_text())
    before = data.read_bytes()
    for option in ("--fix", "--report"):
        for same in (data, tmp_path / "x" / ".." / "boxes.json"):
            assert "would overwrite the annotations" in refused(words(data, scenes / "train", option, same), capsys)
    more = ["--fix", tmp_path / "a.json", "--report", tmp_path / "a.json"]
    assert "--fix and --report both name" in refused(words(data, scenes / "train", *more), capsys)
    assert data.read_bytes() == before and not (tmp_path / "a.json").exists()


def test_a_divided_dataset_gets_a_page_for_each_split_and_a_copy_of_one_alone(scenes, tmp_path, capsys):
    for part, names in (("train", range(5)), ("valid", range(5, 8))):
        content = json.loads((scenes / "boxes.json").read_text())
        content["images"] = [content["images"][number] for number in names]
        ids = {image["id"] for image in content["images"]}
        content["annotations"] = [entry for entry in content["annotations"] if entry["image_id"] in ids]
        (tmp_path / "data" / part).mkdir(parents=True)
        for image in content["images"]:
            (tmp_path / "data" / part / image["file_name"]).write_bytes(
                (scenes / "train" / image["file_name"]).read_bytes()
            )
        (tmp_path / "data" / part / "_annotations.coco.json").write_text(json.dumps(content))
    base = ["check", "--data", str(tmp_path / "data")]
    look, report, fixed = tmp_path / "look", tmp_path / "found.json", tmp_path / "fixed.json"
    main([*base, "--output", str(look), "--report", str(report)])
    shown = capsys.readouterr().out
    assert shown.index("=== train ===") < shown.index("=== val ===")
    assert {path.parent.name for path in look.glob("*/index.html")} == {"train", "val"}
    assert [part["counts"]["images"] for part in json.loads(report.read_text())["splits"].values()] == [5, 3]
    assert main([*base, "--fix", str(fixed)]) == 2
    assert "--fix writes one file: choose one of train, val with --split" in one_line(capsys)
    main([*base, "--split", "val", "--fix", str(fixed)])
    assert len(json.loads(fixed.read_text())["images"]) == 3
    capsys.readouterr()
    assert main([*base, "--split", "test"]) == 2
    assert "has no split test (found: train, val): correct --split" in one_line(capsys)
