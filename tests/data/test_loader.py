"""Training and test loaders: order, workers, joined datasets, errors that name the image."""

import random
from itertools import islice

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from depthbox.data.loader import SampleError, build_test_loader, build_train_loader, load_records
from depthbox.data.mapper import BoxDepthMapper
from depthbox.data.point_mapper import PointMapper
from depthbox.data.samples import require_same_size
from depthbox.io.images import read_image


def record(number, annotated=True):
    boxes = [{"bbox": [0, 0, 4, 4], "iscrowd": 0}] if annotated else []
    return {"file_name": f"{number}.png", "image_id": number, "width": 8, "height": 6, "annotations": boxes}


@pytest.fixture
def catalog():
    """Return a function that registers lists of dicts until the test ends."""
    names = []

    def register(name, records, classes=("thing",)):
        DatasetCatalog.register(name, lambda: records)
        MetadataCatalog.get(name).thing_classes = list(classes)
        names.append(name)
        return name

    yield register
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def config(name, workers=0, batch=4):
    cfg = get_cfg()
    cfg.DATASETS.TRAIN = (name,)
    cfg.DATALOADER.NUM_WORKERS = workers
    cfg.SOLVER.IMS_PER_BATCH = batch
    cfg.TEST.IMS_PER_BATCH = 1
    cfg.MODEL.DEVICE = "cpu"
    return cfg


def draw(sample):
    """Return a number of each of the three generators."""
    return {"id": sample["image_id"], "drawn": (random.random(), np.random.rand(), torch.rand(()).item())}


def test_batches_depend_on_seed_and_iteration_only(catalog):
    name = catalog("loader-a", [record(i) for i in range(5)])
    plain = list(islice(build_train_loader(config(name), draw, seed=7), 6))
    workers = list(islice(build_train_loader(config(name, workers=2), draw, seed=7), 6))
    resumed = list(islice(build_train_loader(config(name), draw, start_iter=4, seed=7), 2))
    other = list(islice(build_train_loader(config(name), draw, seed=8), 6))
    assert plain == workers
    assert plain[4:] == resumed
    assert plain != other
    drawn = [item["drawn"] for batch in plain for item in batch]
    assert len(set(drawn)) == len(drawn)


def test_objects_without_a_box_are_named_before_the_first_sample(catalog):
    with_point = {"id": 7, "category_id": 0, "iscrowd": 0, "point_coords": [[1.5, 1.5]], "point_labels": [1]}
    name = catalog("loader-points", [record(0), {**record(1), "annotations": [with_point]}])
    MetadataCatalog.get(name).json_file = "points.json"
    arguments = {"augmentations": [], "image_format": "RGB"}
    with pytest.raises(ValueError, match=r"points\.json has 1 objects without a box \(such as annotation 7 of 1\.p"):
        build_train_loader(config(name), BoxDepthMapper(True, **arguments))
    build_train_loader(config(name), PointMapper(True, **arguments, class_maps=lambda *_: None))
    build_train_loader(config(name), draw)


def test_images_without_annotations_are_left_out_on_request(catalog):
    name = catalog("loader-b", [record(0), record(1, annotated=False)])
    assert [r["image_id"] for r in load_records([name], filter_empty=True)] == [0]
    assert [r["image_id"] for r in load_records([name], filter_empty=False)] == [0, 1]


def test_nothing_left_is_an_error(catalog):
    name = catalog("loader-c", [record(0, annotated=False)])
    with pytest.raises(ValueError, match="1 left out because they have no annotations"):
        load_records([name], filter_empty=True)
    with pytest.raises(ValueError, match="dataset is empty"):
        load_records([catalog("loader-d", [])], filter_empty=False)
    with pytest.raises(ValueError, match="unknown dataset 'nowhere'"):
        load_records(["nowhere"], filter_empty=False)
    with pytest.raises(ValueError, match=r"DATASETS\.TRAIN"):
        load_records([], filter_empty=False)


def test_data_with_more_classes_than_the_network_are_refused(catalog):
    cfg = config(catalog("two", [record(0), record(1)], classes=("a", "b")))
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 1
    with pytest.raises(ValueError, match=r"'two' has 2 classes, but MODEL\.ROI_HEADS\.NUM_CLASSES is 1: set it to 2"):
        build_train_loader(cfg, draw)
    cfg.MODEL.META_ARCHITECTURE = "ToyDetector"  # its number of classes is not known
    assert len(next(iter(build_train_loader(cfg, draw)))) == 4


def test_joined_datasets_must_have_the_same_classes(catalog):
    names = [catalog("loader-e", [record(0)]), catalog("loader-f", [record(1)], classes=("cat", "dog"))]
    with pytest.raises(ValueError, match="'loader-f' has \\['cat', 'dog'\\]"):
        load_records(names, filter_empty=False)


@pytest.mark.parametrize("workers", [0, 1])
def test_errors_name_the_image(catalog, workers):
    def fail(sample):
        raise OSError("disk on fire")

    name = catalog("loader-g", [record(3)])
    with pytest.raises(
        SampleError,
        match=r"^the sample of image 3\.png cannot be loaded: OSError: disk on fire \(`depthbox check`.*\)$",
    ):
        next(iter(build_train_loader(config(name, workers, batch=1), fail)))


def test_test_loader_gives_every_image_once_in_order(catalog):
    name = catalog("loader-h", [record(i, annotated=i % 2 == 0) for i in range(4)])
    cfg = config(name)
    loader = build_test_loader(cfg, name, draw)
    assert [[item["id"] for item in batch] for batch in loader] == [[0], [1], [2], [3]]
    assert len(loader) == 4
    cfg.TEST.IMS_PER_BATCH = 3
    assert [[item["id"] for item in batch] for batch in build_test_loader(cfg, name, draw)] == [[0, 1, 2], [3]]


@pytest.mark.parametrize("workers", [0, 1])
def test_reading_a_batch_draws_no_random_number(catalog, workers):
    """Else the random numbers of the first step of a run would differ, and a resumed run with them."""
    cfg = config(catalog("loader-i", [record(i) for i in range(4)]))
    cfg.DATALOADER.NUM_WORKERS = workers
    batches = iter(build_train_loader(cfg, draw))
    before = torch.get_rng_state()
    next(batches)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_cannot_be_used_is_named_in_one_line(catalog, workers, tmp_path):
    path = tmp_path / "a\x1b[31m.png"
    Image.new("RGB", (8, 5)).save(path)
    entry = {**record(3), "file_name": str(path)}
    name = catalog("loader-j", [entry])

    def read(sample):
        require_same_size(sample, read_image(sample["file_name"]))

    with pytest.raises(SampleError) as caught:
        next(iter(build_train_loader(config(name, workers, batch=1), read)))
    text = str(caught.value)
    assert "has 8 x 5 pixels (width x height), but its annotations say 8 x 6" in text and "`depthbox check`" in text
    assert "\n" not in text and "Error" not in text
