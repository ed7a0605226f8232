"""Event files: on disk at once, and each step once, also after a kill."""

import numpy as np
import pytest
from detectron2.utils.events import EventStorage

from depthbox.engine.image_logging import Panel
from depthbox.engine.writers import TensorBoardWriter
from depthbox.engine.writers.tensorboard import PATTERN, read_scalars

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def write(writer, iteration, **values):
    with EventStorage(iteration) as storage:
        for name, value in values.items():
            storage.put_scalar(name, value, smoothing_hint=False)
        writer.write()


def panel(iteration, shade=0):
    return Panel("panels/image_0", np.full((4, 6, 3), shade, dtype=np.uint8), iteration)


def load(folder):
    events = accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    return events.Reload()


def test_scalars_and_images_are_on_disk_at_once(tmp_path):
    writer = TensorBoardWriter(tmp_path)
    write(writer, 19, loss=0.5, lr=0.1)
    writer.write_panels([panel(19)])
    events = load(tmp_path)  # not closed
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(19, 0.5)]
    image = events.Images("panels/image_0")[0]
    assert (image.step, image.width, image.height) == (19, 6, 4)
    write(writer, 19, loss=0.7)  # already written
    assert len(load(tmp_path).Scalars("loss")) == 1


def test_a_resumed_run_has_each_step_once(tmp_path):
    killed = TensorBoardWriter(tmp_path)
    for iteration in (19, 39, 59):
        killed.write_panels([panel(iteration)])
        write(killed, iteration, loss=float(iteration))
    [path] = tmp_path.glob(PATTERN)
    path.write_bytes(path.read_bytes() + b"\x20\0\0\0torn")
    resumed = TensorBoardWriter(tmp_path, start_iter=20, first_image=40)  # a checkpoint of iteration 39
    for iteration in (39, 59):
        write(resumed, iteration, loss=iteration + 0.5)
    resumed.write_panels([panel(59)])
    assert read_scalars(tmp_path) == {("loss", 19): [19.0], ("loss", 39): [39.5], ("loss", 59): [59.5]}
    events = load(tmp_path)
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(19, 19.0), (39, 39.5), (59, 59.5)]
    assert [e.step for e in events.Images("panels/image_0")] == [19, 39, 59]


def test_files_without_values_are_kept_empty(tmp_path):
    write(TensorBoardWriter(tmp_path), 19, loss=1.0)
    (tmp_path / "events.out.tfevents.0000000001.host.1.0").touch()  # killed before its first event
    TensorBoardWriter(tmp_path)
    assert len(list(tmp_path.glob(PATTERN))) == 3 and read_scalars(tmp_path) == {}


def test_later_files_have_later_names(tmp_path):
    names = []
    for number in range(3):  # within one second
        write(TensorBoardWriter(tmp_path, start_iter=number), number, loss=1.0)
        names = sorted(path.name for path in tmp_path.glob(PATTERN))
    assert len(names) == 3 and len({name.split(".")[3] for name in names}) == 3
