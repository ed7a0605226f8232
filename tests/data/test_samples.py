"""Samples: random numbers that belong to the sample, unreadable images, failures."""

import logging
import random
from itertools import islice

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from depthbox.data import BoxDepthMapper
from depthbox.data.loader import build_test_loader, build_train_loader
from depthbox.data.sampler import Sample
from depthbox.data.samples import SampleBatches, SampleDataset, SampleError, seeded
from depthbox.io.images import ImageError


def draw():
    return random.random(), np.random.rand(), torch.rand(()).item()


def test_seeded_restores_the_outer_generators():
    outer = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    with seeded(1, 2):
        first = draw()
    with seeded(1, 2):
        assert draw() == first
    with seeded(1, 3):
        other = draw()
    assert all(a != b for a, b in zip(first, other, strict=True))
    assert random.getstate() == outer[0]
    assert (np.random.get_state()[1] == outer[1]).all()
    assert torch.equal(torch.get_rng_state(), outer[2])


@pytest.fixture
def photos(tmp_path):
    """Register six photographs of 8 x 6 pixels; return the name of the dataset and a function that truncates some."""
    records = []
    for number in range(6):
        file = tmp_path / f"{number}.jpg"
        pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file, quality=95)
        box = {"bbox": [1, 1, 4, 4], "bbox_mode": 1, "category_id": 0, "iscrowd": 0}
        records.append({"file_name": str(file), "image_id": number, "width": 8, "height": 6, "annotations": [box]})
    name = f"photos {tmp_path}"
    DatasetCatalog.register(name, lambda: records)
    MetadataCatalog.get(name).thing_classes = ["thing"]

    def truncate(*numbers):
        for number in numbers:
            file = tmp_path / f"{number}.jpg"
            file.write_bytes(file.read_bytes()[:-60])

    yield name, truncate
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


def config(name, workers=0, batch=2):
    cfg = get_cfg()
    cfg.DATASETS.TRAIN = (name,)
    cfg.DATALOADER.NUM_WORKERS = workers
    cfg.SOLVER.IMS_PER_BATCH = batch
    cfg.TEST.IMS_PER_BATCH = batch
    cfg.MODEL.DEVICE = "cpu"
    return cfg


def train(name, workers=0, count=6, start=0):
    mapper = BoxDepthMapper(True, augmentations=[], image_format="BGR")
    return list(islice(build_train_loader(config(name, workers), mapper, start, seed=3), count))


def ids(batches):
    return [[record["image_id"] for record in batch] for batch in batches]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_training_image_is_replaced_by_the_next_one(photos, caplog, workers):
    name, truncate = photos
    expected = [[{2: 3, 5: 0}.get(number, number) for number in batch] for batch in ids(train(name))]
    truncate(2, 5)
    assert ids(train(name, workers)) == expected
    lines = [line.getMessage() for line in caplog.records if line.name == "depthbox.data.samples"]
    assert sorted(line.split()[2].rpartition("/")[2] for line in lines) == ["2.jpg", "5.jpg"], "one line per file"
    assert all("The next image of the dataset replaces it" in line and "\n" not in line for line in lines)


def test_replacements_are_the_same_after_a_resume(photos):
    name, truncate = photos
    truncate(0, 3, 4)
    assert ids(train(name, count=2, start=5)) == ids(train(name, count=7))[5:]


def test_a_replacement_has_the_random_numbers_of_its_position():
    def load(record):
        draw()
        if record["image_id"] == 0:
            raise ImageError("the image 0 is gone")
        return {"drawn": draw(), **record}

    dataset = SampleDataset([{"image_id": 0}, {"image_id": 1}], load, seed=4)
    replaced, plain = dataset[Sample(0, position=9, iteration=2)], dataset[Sample(1, position=9, iteration=2)]
    assert replaced.record == plain.record and plain.record["image_id"] == 1 and plain.record["iteration"] == 2
    assert len(replaced.unreadable) == 1 and plain.unreadable == ()


@pytest.mark.parametrize("workers", [0, 1])
def test_only_unreadable_images_end_the_run(photos, workers):
    name, truncate = photos
    truncate(*range(6))
    with pytest.raises(
        SampleError, match=r"^6 images in a row cannot be read, the last one: the image \S*\.jpg is .*$"
    ):
        train(name, workers)


def test_ten_unreadable_images_in_a_row_end_the_run():
    def load(record):
        if record["image_id"] < 10:
            raise ImageError(f"the image {record['image_id']} is gone")
        return record

    dataset = SampleDataset([{"image_id": number} for number in range(12)], load)
    assert dataset[Sample(1, 0)].record["image_id"] == 10
    assert "10 images in a row cannot be read, the last one: the image 9 is gone" in dataset[Sample(0, 0)].failure


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(("batch", "left"), [(1, [[0], [3], [5]]), (2, [[0], [3], [5]]), (4, [[0, 3], [5]])])
def test_unreadable_test_images_are_left_out(photos, caplog, workers, batch, left):
    name, truncate = photos
    truncate(1, 2, 4)
    mapper = BoxDepthMapper(False, augmentations=[], image_format="BGR")
    loader = build_test_loader(config(name, workers, batch), name, mapper)
    assert ids(loader) == left and len(loader) == 6 // batch + (6 % batch > 0)
    lines = [line.getMessage() for line in caplog.records if line.name.startswith("depthbox")]
    assert len(lines) == 3 and all(line.endswith("The image is left out of the predictions") for line in lines)


def test_other_errors_end_the_run_with_one_line_and_the_traceback_in_the_log(caplog):
    def load(record):
        raise KeyError("no such key")

    def nothing(record):
        return None

    with caplog.at_level(logging.DEBUG, "depthbox"), pytest.raises(SampleError) as error:
        list(SampleBatches([[SampleDataset([{"file_name": "a.png"}], load)[0]]]))
    assert "image a.png cannot be loaded: KeyError" in str(error.value) and "\n" not in str(error.value)
    assert "in load" in caplog.text
    with pytest.raises(SampleError, match="returned None for image number 0"):
        list(SampleBatches([[SampleDataset([{}], nothing)[Sample(0, 0)]]]))
