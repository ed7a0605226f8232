"""Files and errors of the Cityscapes evaluation."""

import json
import sys
import uuid

import numpy as np
import pytest
import torch
from cityscapes_toy import (
    HEIGHT,
    MODULE,
    WIDTH,
    instances,
    make_dataset,
    noisy,
    perfect,
    run,
    street,
    write_frame,
)
from detectron2.data import DatasetCatalog
from PIL import Image

from depthbox.data import register_coco_style
from depthbox.data.cityscapes.convert import convert
from depthbox.data.cityscapes.frames import ground_truth_file
from depthbox.evaluation.cityscapes import CityscapesEvaluator


def test_classes_are_matched_by_name(tmp_path):
    ids = street((26000, 2, 2, 30, 20))
    write_frame(tmp_path, 0, ids)
    convert(tmp_path, "val", tmp_path / "all.json")
    data = json.loads((tmp_path / "all.json").read_text())
    data["categories"] = [{"id": 3, "name": "car"}, {"id": 4, "name": "person"}]
    (tmp_path / "two.json").write_text(json.dumps(data))
    name = f"test_{uuid.uuid4().hex}"
    register_coco_style(name, tmp_path / "two.json", tmp_path / "leftImg8bit")
    assert run(name, [instances([ids == 26000], [0])])["segm"]["AP"] == pytest.approx(100)
    assert run(name, [instances([ids == 26000], [1])])["segm"]["AP"] == 0


def test_files_of_an_earlier_evaluation_are_replaced(tmp_path):
    ids = street((26000, 2, 2, 30, 20), (24000, 40, 5, 52, 40))
    name, out = make_dataset(tmp_path, [ids]), tmp_path / "out"
    run(name, [noisy(ids, 0)], output_dir=out)
    run(name, [perfect(ids)], output_dir=out)
    frame = "bonn_000000_000019_leftImg8bit"
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert files == [f"{frame}.txt", f"{frame}_masks/000.png", f"{frame}_masks/001.png"]
    lines = [line.split() for line in (out / f"{frame}.txt").read_text().splitlines()]
    assert [(int(label), float(score)) for _, label, score in lines] == [(24, 1.0), (26, 1.0)]
    for (path, label, _), value in zip(lines, (24000, 26000), strict=True):
        assert np.array_equal(np.asarray(Image.open(out / path).convert("L")) > 0, ids == value), label


def test_no_files_and_output_remain(tmp_path, monkeypatch, capfd):
    ids = street((26000, 2, 2, 30, 20))
    name = make_dataset(tmp_path / "data", [ids])
    for folder in ("temporary", "here"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.chdir(tmp_path / "here")
    had = hasattr(np, "in1d")
    run(name, [perfect(ids)])
    assert not any((tmp_path / "temporary").iterdir()) and not any((tmp_path / "here").iterdir())
    assert hasattr(np, "in1d") is had and capfd.readouterr().out == ""


def test_errors_name_the_problem(tmp_path):
    ids = street((26000, 2, 2, 30, 20))
    name = make_dataset(tmp_path, [ids])
    pytest.importorskip(MODULE)
    evaluator = CityscapesEvaluator(name, output_dir=tmp_path / "out")
    image = [{"file_name": DatasetCatalog.get(name)[0]["file_name"]}]
    with pytest.raises(ValueError, match=r"other\.png is not in the dataset"):
        evaluator.process([{"file_name": "other.png"}], [{"instances": perfect(ids)}])
    with pytest.raises(ValueError, match=r"predicted class 8.*8 classes"):
        evaluator.process(image, [{"instances": instances([ids == 26000], [8])}])
    found = perfect(ids)
    found.pred_masks = found.pred_masks.float()
    with pytest.raises(TypeError, match="bool"):
        evaluator.process(image, [{"instances": found}])
    found.pred_masks = torch.zeros(1, HEIGHT // 2, WIDTH // 2, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"masks of \(32, 64\).*instanceIds\.png has \(64, 128\)"):
        evaluator.process(image, [{"instances": found}])
    found.remove("pred_masks")
    with pytest.raises(ValueError, match="have no masks"):
        evaluator.process(image, [{"instances": found}])
    assert not (tmp_path / "out").exists()


def test_missing_files_and_foreign_classes_are_named_at_the_start(tmp_path):
    name = make_dataset(tmp_path, [street((26000, 2, 2, 30, 20)), street()])
    pytest.importorskip(MODULE)
    data = json.loads((tmp_path / "truth.json").read_text())
    data["categories"][2]["name"] = "cat"
    (tmp_path / "cats.json").write_text(json.dumps(data))
    register_coco_style(f"{name}_cats", tmp_path / "cats.json", tmp_path / "leftImg8bit")
    with pytest.raises(ValueError, match=r"'cat'.*tools/convert_cityscapes\.py"):
        CityscapesEvaluator(f"{name}_cats")
    ground_truth_file(DatasetCatalog.get(name)[1]["file_name"]).unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 2 instanceIds files are missing, .*bonn_000001.*gtFine_train"):
        CityscapesEvaluator(name)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, MODULE, None)
    with pytest.raises(ImportError, match=r"pip install depthbox\[cityscapes\]"):
        CityscapesEvaluator("any")
