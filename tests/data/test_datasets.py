"""Registration of datasets, by code and by config."""

import pytest
from dataset_toy import load, new_name, write_files
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from depthbox.data import register_coco_style, register_from_config
from depthbox.data.datasets import is_coco_style


@pytest.fixture
def name():
    return new_name()


@pytest.fixture
def root(tmp_path):
    return write_files(tmp_path)


def test_registering_is_idempotent_but_never_silent(name, root):
    register_coco_style(name, root / "truth.json", root / "images")
    register_coco_style(name, str(root / "truth.json"), str(root / "images"), "")
    with pytest.raises(ValueError, match=f"'{name}' is already used"):
        register_coco_style(name, root / "other.json", root / "images")
    with pytest.raises(ValueError, match="'coco_2017_train' is already used"):
        register_coco_style("coco_2017_train", root / "truth.json", root / "images")
    assert len(DatasetCatalog.get(name)) == len(DatasetCatalog.get(name)) == 2
    assert is_coco_style(name) and not is_coco_style("coco_2017_train")


def test_registering_touches_no_file(name, tmp_path):
    register_coco_style(name, tmp_path / "no.json", tmp_path / "no", tmp_path / "no")
    with pytest.raises(FileNotFoundError, match=rf"'{name}'.*no\.json.*correct the paths"):
        DatasetCatalog.get(name)


def test_missing_image_folder(name, root):
    (root / "images").rename(root / "photos")
    with pytest.raises(FileNotFoundError, match=rf"'{name}'.*images"):
        load(name, root)


def config(*entries):
    return CfgNode({"DATASETS": {"COCO_STYLE": list(entries)}})


def test_from_config_expands_variables_and_is_idempotent(name, root, monkeypatch):
    monkeypatch.setenv("TEST_ROOT", str(root))
    cfg = config([name, "$TEST_ROOT/truth.json", "${TEST_ROOT}/images", ""])
    register_from_config(cfg)
    register_from_config(cfg)
    assert MetadataCatalog.get(name).json_file == str(root / "truth.json")
    assert len(DatasetCatalog.get(name)) == 2


def test_from_config_takes_a_folder_of_class_maps(name, root):
    register_from_config(config([name, str(root / "truth.json"), str(root / "images"), "", str(root / "maps")]))
    assert MetadataCatalog.get(name).class_map_root == str(root / "maps")
    assert MetadataCatalog.get(name).depth_root == ""


@pytest.mark.parametrize("entry", [["only", "two"], "text", ["a", "b", "c", "d", "e", "f"], ["a", "b", "c", None]])
def test_from_config_refuses_other_entries(entry):
    with pytest.raises(ValueError, match="COCO_STYLE"):
        register_from_config(config(entry))


def test_from_config_names_an_unset_variable(name):
    with pytest.raises(ValueError, match="NOT_SET_ANYWHERE"):
        register_from_config(config([name, "$NOT_SET_ANYWHERE/truth.json", "x", ""]))


@pytest.mark.parametrize("split", ["train", "val"])
def test_builtin_names(split):
    metadata = MetadataCatalog.get(f"coco_2017_{split}_depth")
    assert metadata.json_file.endswith(f"coco/annotations/instances_{split}2017.json")
    assert metadata.depth_root.endswith(f"coco/depth_{split}2017")
