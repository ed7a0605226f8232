import numpy as np
import pytest
import torch
from PIL import Image

from depthbox.data.depth_io import read_depth
from depthbox.data.pseudo_depth import worker
from depthbox.data.pseudo_depth.generate import choose_devices, generate
from depthbox.data.pseudo_depth.items import DepthItem, list_items, output_size
from depthbox.data.pseudo_depth.model import DepthModel, PseudoDepthError, describe_model
from depthbox.data.pseudo_depth.worker import DepthSettings, GeneratedDepth

pytest.importorskip("transformers")
from pseudo_depth_toy import MODELS, break_weights, reference, save_model, write_images


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return {name: save_model(tmp_path_factory.mktemp("models") / name, name) for name in MODELS}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos") / "images"
    return folder, write_images(folder)


def settings(model, **options):
    return DepthSettings(describe_model(model), **{"batch_size": 2, "threads": 2, **options})


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("short_side", [None, 20])
def test_maps_equal_a_direct_forward(models, images, tmp_path, name, short_side):
    folder, sizes = images
    items = list_items(folder, tmp_path).items
    assert generate(items, settings(models[name], short_side=short_side), progress=False) == GeneratedDepth()
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*")) == [
        "a.png", "gray.png", "sub/a.png", "sub/frame.v1.png", "turned.png",
    ]  # fmt: skip
    for item in items:
        size = sizes[str(item.image.relative_to(folder))]
        depth = read_depth(item.depth, size)
        assert depth.shape == output_size(size, short_side) and depth.min() == 0 and depth.max() == 1
        expected = reference(models[name], item.image, depth.shape, inverted=name == "metric")
        assert np.abs(depth - expected).max() < 2e-4
        assert expected.std() > 0.05


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_batches_do_not_change_the_maps(models, images, tmp_path, batch_size):
    sets = []
    for size, output in ((batch_size, tmp_path / "a"), (2, tmp_path / "b")):
        items = list_items(images[0], output).items
        generate(items, settings(models["depth_anything"], batch_size=size), progress=False)
        sets.append([np.asarray(Image.open(item.depth)).astype(int) for item in items])
    assert max(np.abs(one - two).max() for one, two in zip(*sets, strict=True)) <= 8


def test_broken_images_are_reported_and_leave_nothing(models, images, tmp_path):
    folder = tmp_path / "images"
    write_images(folder)
    whole = (folder / "a.jpg").read_bytes()
    (folder / "a.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "gray.png").write_bytes(b"no image")
    items = [
        *list_items(folder, tmp_path / "depth").items,
        DepthItem(folder / "gone.jpg", tmp_path / "depth" / "gone.png"),
    ]
    failures = generate(items, settings(models["dpt"]), progress=False).failures
    assert [failure.image.name for failure in failures] == ["a.jpg", "gone.jpg", "gray.png"]
    problems = [failure.problem for failure in failures]
    assert problems[0].startswith("the image is truncated or damaged") and "does not exist" in problems[1]
    assert "not an image file of a known format" in problems[2] and not any("\n" in problem for problem in problems)
    made = sorted(path.name for path in (tmp_path / "depth").rglob("*") if path.is_file())
    assert made == ["a.png", "frame.v1.png", "turned.png"]


def test_nan_names_the_image_and_leaves_nothing(images, tmp_path):
    model = save_model(tmp_path / "nan", "dpt", break_weights)
    items = list_items(images[0], tmp_path / "depth").items
    failures = generate(items, settings(model), progress=False).failures
    assert [failure.image for failure in failures] == sorted(item.image for item in items)
    assert all("NaN" in failure.problem for failure in failures)
    assert not (tmp_path / "depth").exists()


def test_one_image_that_the_network_refuses_does_not_take_its_batch_along(models, images, tmp_path, monkeypatch):
    folder, _ = images
    items = [item for item in list_items(folder, tmp_path).items if item.image.suffix == ".jpg"]
    plain = DepthModel.predict

    def predict(self, inputs):
        if any(one.image_size == (48, 32) for one in inputs):
            raise RuntimeError("too tall")
        return plain(self, inputs)

    monkeypatch.setattr(DepthModel, "predict", predict)
    failures = generate(items, settings(models["dpt"], batch_size=3), progress=False).failures
    assert [(failure.image.name, failure.problem) for failure in failures] == [("turned.jpg", "RuntimeError: too tall")]
    assert items[0].depth.exists() and not (tmp_path / "turned.png").exists()

    def full(self, inputs):
        raise torch.OutOfMemoryError("2 GiB")

    monkeypatch.setattr(DepthModel, "predict", full)
    with pytest.raises(PseudoDepthError, match="lower --batch-size"):
        generate(items, settings(models["dpt"]), progress=False)


def test_a_full_disk_stops_the_run(models, images, tmp_path, monkeypatch):
    def write(path, depth):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(worker, "write_depth", write)
    with pytest.raises(OSError, match="No space left"):
        generate(list_items(images[0], tmp_path).items, settings(models["dpt"]), progress=False)


@pytest.mark.slow
def test_two_processes_make_the_maps_of_one(models, images, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    sets = []
    for devices, output in ((["cpu"], tmp_path / "one"), (["cpu", "cpu"], tmp_path / "two")):
        items = list_items(images[0], output).items
        lost = DepthItem(images[0] / "gone.jpg", output / "gone.png")
        failures = generate([*items, lost], settings(models["dpt"], batch_size=1), devices, progress=False).failures
        assert [failure.image.name for failure in failures] == ["gone.jpg"]
        sets.append([item.depth.read_bytes() for item in items])
    assert sets[0] == sets[1]


@pytest.mark.slow
def test_an_error_in_a_process_reaches_the_caller(models, images, tmp_path):
    info = describe_model(models["dpt"])
    (tmp_path / "file").write_text("in the way of the folder")
    items = [DepthItem(path, tmp_path / "file" / f"{i}.png") for i, path in enumerate([images[0] / "a.jpg"] * 2)]
    with pytest.raises(OSError, match="file"):
        generate(items, DepthSettings(info), ["cpu", "cpu"], progress=False)


def test_nothing_to_do_loads_no_model(tmp_path, models):
    info = describe_model(models["dpt"])
    missing = DepthSettings(type(info)(str(tmp_path / "gone"), None, info.weights, "dpt", False))
    assert generate([], missing, progress=False) == GeneratedDepth()


def test_devices(monkeypatch):
    assert choose_devices("cpu", 3) == ["cpu"] * 3
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert choose_devices("auto", 1) == ["cpu"]
    with pytest.raises(PseudoDepthError, match="need 1 GPUs, there are 0"):
        choose_devices("cuda", 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_devices("auto", 1) == ["cuda"] and choose_devices("auto", 2) == ["cuda:0", "cuda:1"]
    assert choose_devices("cuda:1", 1) == ["cuda:1"]
    for device, count, problem in (
        ("cuda", 3, "need 3 GPUs, there are 2"), ("cuda:2", 1, "need 3 GPUs"), ("cuda:0", 2, "cannot share"),
        ("gpu", 1, "is not a device"), ("cpu", 0, "at least 1"),
    ):  # fmt: skip
        with pytest.raises(PseudoDepthError, match=problem):
            choose_devices(device, count)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_half_precision_is_close(models, images, tmp_path):
    maps = []
    for half in (False, True):
        items = list_items(images[0], tmp_path / str(half))
        assert generate(items, settings(models["dpt"], half=half), ["cuda"], progress=False) == GeneratedDepth()
        maps.append(np.asarray(Image.open(items[0].depth)).astype(float) / 65535)
    assert np.abs(maps[0] - maps[1]).max() < 0.02
