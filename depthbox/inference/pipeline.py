"""Prediction of images, videos and cameras: frames are read, predicted and written batch by batch."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

import numpy as np
from detectron2.structures import Instances
from tqdm import tqdm

from ..io.media import MediaError, MediaFrame, MediaSource, count_frames, iterate_batches, read_frames
from ..visualization.draw import Color, DrawnObjects, colorize, draw_objects, instance_color
from .classes import ClassList
from .outputs import CocoStream, OverlayWriter, open_coco_stream, write_cutouts
from .predictor import BatchPredictor

COLORS = ("class", "instance", "depth")
INTERRUPTED = 130  # exit status after Ctrl-C
RESULTS, OVERLAYS, CUTOUTS = "predictions.json", "overlays", "cutouts"


@dataclass(frozen=True)
class PredictionSettings:
    """Outputs of a prediction.

    Attributes:
        output: folder of the results.
        batch: batch size; this many frames are held in memory.
        threshold: lowest score of an instance that is kept.
        overlays, json, cutouts: whether to write them.
        color_by: "class", "instance" (class and location) or "depth".
        max_frames: limit of the frames of each video or camera; None = all.
    """

    output: Path
    batch: int = 1
    threshold: float = 0.4
    overlays: bool = True
    json: bool = True
    cutouts: bool = False
    color_by: str = "class"
    max_frames: int | None = None


@dataclass
class PredictionSummary:
    """Result of a prediction.

    Attributes:
        images, objects: numbers of predicted images or frames and of their instances.
        failures: one line for each source that could not be read.
        files: the written files; the folder of the cut-outs.
        stopped: whether Ctrl-C or another signal ended the prediction; the results until then are complete.
        status: exit status of a process that this signal ended.
    """

    images: int = 0
    objects: int = 0
    failures: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    stopped: bool = False
    status: int = 0


def predict_sources(
    sources: Sequence[MediaSource], predict: BatchPredictor, classes: ClassList, settings: PredictionSettings
) -> PredictionSummary:
    """Predict all frames of sources and write the requested files.

    Sources that cannot be read are added to the failures. Ctrl-C ends the reading; the results until then are written.

    Args:
        sources: from ``io.media.find_sources``.
        predict: function from images (H, W, 3) uint8, RGB, to Instances on the CPU, in pixels of the images.
        classes: classes of the network.
        settings: output folder and the kinds of output.

    Raises:
        ValueError: ``color_by`` is unknown, or is "depth" and the network does not predict depth.
    """
    if settings.color_by not in COLORS:
        raise ValueError(f"--color-by is one of {', '.join(COLORS)}, not '{settings.color_by}'")
    summary = PredictionSummary()
    frames = _read_all(sources, settings, summary.failures)
    with ExitStack() as stack, tqdm(total=_count_all(sources, settings), unit="image", desc="predict") as progress:
        stream = stack.enter_context(open_coco_stream(settings.output / RESULTS, classes)) if settings.json else None
        overlays = OverlayWriter(settings.output / OVERLAYS) if settings.overlays else None
        if overlays is not None:
            stack.push(lambda kind, *_: overlays.close(keep=kind is None))
        writer = _FrameWriter(classes, settings, summary, stream, overlays)
        try:
            for frame, instances in predict_frames(frames, predict, settings.batch):
                writer.add(frame, instances[instances.scores >= settings.threshold])
                del frame, instances
                progress.update()
        except KeyboardInterrupt as stop:
            summary.stopped, summary.status = True, getattr(stop, "status", INTERRUPTED)
    if overlays is not None:
        summary.files += overlays.written
    if stream is not None:
        summary.files.append(settings.output / RESULTS)
    return summary


def predict_frames(
    frames: Iterator[MediaFrame], predict: BatchPredictor, batch: int
) -> Iterator[tuple[MediaFrame, Instances]]:
    """Predict frames; at most ``batch`` of them are held in memory.

    Args:
        frames: read as they are needed.
        predict: see ``predict_sources``.
        batch: batch size.
    """
    for held in iterate_batches(frames, batch):
        found = predict([frame.pixels for frame in held])
        held.reverse()
        found.reverse()
        while held:  # a frame is freed as soon as the receiver drops it
            yield held.pop(), found.pop()


class _FrameWriter:
    """All outputs of a prediction."""

    def __init__(
        self,
        classes: ClassList,
        settings: PredictionSettings,
        summary: PredictionSummary,
        stream: CocoStream | None,
        overlays: OverlayWriter | None,
    ) -> None:
        self._classes, self._settings, self._summary = classes, settings, summary
        self._stream, self._overlays = stream, overlays

    def add(self, frame: MediaFrame, instances: Instances) -> None:
        """Write a frame and its instances to each output."""
        self._summary.images += 1
        self._summary.objects += len(instances)
        if self._stream is not None:
            self._stream.add(frame, instances)
        if self._overlays is not None:
            objects = to_objects(instances, self._classes, self._settings.color_by)
            self._overlays.add(frame, draw_objects(frame.pixels, objects))
        if self._settings.cutouts:
            folder = self._settings.output / CUTOUTS
            if write_cutouts(folder, frame, instances, self._classes) and folder not in self._summary.files:
                self._summary.files.append(folder)


def to_objects(instances: Instances, classes: ClassList, color_by: str = "class") -> DrawnObjects:
    """Convert N instances to objects to draw, labeled with class, score and depth.

    Colors by "class" are those of ``instance_color``. By "instance", the hue also changes slowly with the location in
    the image: neighbors differ, and an object keeps its color from frame to frame without tracking. By "depth", far is
    dark and near is bright.

    Raises:
        ValueError: ``color_by`` is "depth" and the network does not predict depth.
    """
    boxes = instances.pred_boxes.tensor.double().numpy()
    labels = [classes.names[number] for number in instances.pred_classes.tolist()]
    labels = [f"{name} {score:.2f}" for name, score in zip(labels, instances.scores.tolist(), strict=True)]
    if instances.has("pred_depths"):
        depths = instances.pred_depths.double().numpy()
        labels = [f"{label} depth {depth:.2f}" for label, depth in zip(labels, depths, strict=True)]
    masks = instances.pred_masks.numpy() if instances.has("pred_masks") else None
    return DrawnObjects(boxes, labels, masks, _choose_colors(instances, boxes, color_by))


def _choose_colors(instances: Instances, boxes: np.ndarray, color_by: str) -> list[Color]:
    numbers = instances.pred_classes.tolist()
    if color_by == "depth":
        if not instances.has("pred_depths"):
            raise ValueError(
                "the network does not predict depth (MODEL.DEPTH.LAYER is False): use --color-by class or instance"
            )
        colors = colorize(instances.pred_depths.double().numpy()[:, None])[:, 0]
        return [(int(red), int(green), int(blue)) for red, green, blue in colors]
    if color_by == "instance":
        places = (boxes[:, :2] + boxes[:, 2:]) / 2 / np.array(instances.image_size[::-1])
        return [_location_color(number, place) for number, place in zip(numbers, places, strict=True)]
    return [instance_color(number) for number in numbers]


def _location_color(number: int, place: np.ndarray) -> Color:
    """Return a color whose hue starts at a value given by the class and changes by a full circle across the image."""
    hue = (0.02 + number * 0.61803398875 + 0.6 * place[0] + 0.4 * place[1]) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.9, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def _read_all(
    sources: Sequence[MediaSource], settings: PredictionSettings, failures: list[str]
) -> Iterator[MediaFrame]:
    def add_failure(error: MediaError) -> None:
        failures.append(str(error))

    return chain.from_iterable(islice(read_frames(s, add_failure), _frame_limit(s, settings)) for s in sources)


def _frame_limit(source: MediaSource, settings: PredictionSettings) -> int | None:
    return None if source.kind == "image" else settings.max_frames


def _count_all(sources: Sequence[MediaSource], settings: PredictionSettings) -> int | None:
    """Return the number of frames for the progress bar; None if it is not known."""
    total = 0
    for source in sources:
        count, limit = count_frames(source), _frame_limit(source, settings)
        if count is None and limit is None:
            return None
        total += min(x for x in (count, limit) if x is not None)
    return total
