"""From images, videos and cameras to masks: pictures are read, predicted, written and let go, a batch at a time."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

import numpy as np
from detectron2.structures import Instances
from tqdm import tqdm

from ..io.media import Frame, MediaError, Source, batches, count_frames, read_frames
from ..visualization.draw import Color, DrawnObjects, Picture, colorize, draw_objects, instance_color
from .classes import ClassList
from .outputs import CocoStream, OverlayWriter, coco_stream, write_cutouts

Predict = Callable[[Sequence[Picture]], list[Instances]]
COLORS = ("class", "instance", "depth")
RESULTS, OVERLAYS, CUTOUTS = "predictions.json", "overlays", "cutouts"


@dataclass(frozen=True)
class PredictionSettings:
    """What is done with the pictures.

    Attributes:
        output: folder of the results.
        batch: pictures predicted, and held in memory, at a time.
        threshold: least score of an object that is kept.
        overlays, json, cutouts: what is written.
        color_by: what a mask's colour tells: "class", "instance" (by class and place) or "depth".
        max_frames: pictures read of each video or camera at most; None = all.
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
    """What came of it.

    Attributes:
        pictures, objects: how many were predicted.
        failures: a line for each source that could not be read.
        files: what was written, of cut-outs the folder.
        stopped: Ctrl-C ended it early; what was done until then is complete.
    """

    pictures: int = 0
    objects: int = 0
    failures: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    stopped: bool = False


def predict_sources(
    sources: Sequence[Source], predict: Predict, classes: ClassList, settings: PredictionSettings
) -> PredictionSummary:
    """Predict all pictures of some sources and write what the settings ask for.

    Sources that cannot be read are noted and left out. Ctrl-C ends the reading; what was predicted is kept.

    Args:
        sources: from ``data.media.find_sources``.
        predict: from pictures (H, W, 3) uint8 RGB to Instances on the CPU at their size.
        classes: of the network.
        settings: what to write, and where.

    Raises:
        ValueError: an unknown ``color_by``, or depth is asked for and the network predicts none.
    """
    if settings.color_by not in COLORS:
        raise ValueError(f"colours are by {', '.join(COLORS)}, not '{settings.color_by}'")
    summary = PredictionSummary()
    frames = _frames(sources, settings, summary.failures)
    with ExitStack() as stack, tqdm(total=_total(sources, settings), unit="image", desc="predict") as progress:
        stream = stack.enter_context(coco_stream(settings.output / RESULTS, classes)) if settings.json else None
        overlays = OverlayWriter(settings.output / OVERLAYS) if settings.overlays else None
        if overlays is not None:
            stack.push(lambda kind, *_: overlays.close(keep=kind is None))
        writer = _Writer(classes, settings, summary, stream, overlays)
        try:
            for frame, found in predict_frames(frames, predict, settings.batch):
                writer.add(frame, found[found.scores >= settings.threshold])
                del frame, found
                progress.update()
        except KeyboardInterrupt:
            summary.stopped = True
    if overlays is not None:
        summary.files += overlays.written
    if stream is not None:
        summary.files.append(settings.output / RESULTS)
    return summary


def predict_frames(frames: Iterator[Frame], predict: Predict, batch: int) -> Iterator[tuple[Frame, Instances]]:
    """Each picture with its prediction; no more than ``batch`` pictures are held.

    Args:
        frames: read when they are needed.
        predict: see ``predict_sources``.
        batch: how many are predicted at a time.
    """
    for held in batches(frames, batch):
        found = predict([frame.pixels for frame in held])
        held.reverse()
        found.reverse()
        while held:  # each is let go as soon as the receiver does so
            yield held.pop(), found.pop()


class _Writer:
    """Hands a picture and its objects to everything that writes."""

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

    def add(self, frame: Frame, found: Instances) -> None:
        self._summary.pictures += 1
        self._summary.objects += len(found)
        if self._stream is not None:
            self._stream.add(frame, found)
        if self._overlays is not None:
            objects = to_objects(found, self._classes, self._settings.color_by)
            self._overlays.add(frame, draw_objects(frame.pixels, objects))
        if self._settings.cutouts:
            folder = self._settings.output / CUTOUTS
            if write_cutouts(folder, frame, found, self._classes) and folder not in self._summary.files:
                self._summary.files.append(folder)


def to_objects(instances: Instances, classes: ClassList, color_by: str = "class") -> DrawnObjects:
    """What is drawn of a prediction: class, score and depth as the label.

    Colours by "class" are those of ``instance_color``. By "instance" the hue also moves slowly with the place in the
    image, so that neighbours differ and an object keeps its colour from frame to frame without being tracked. By
    "depth" far is dark and near is bright.

    Raises:
        ValueError: depth is asked for and the network predicts none.
    """
    boxes = instances.pred_boxes.tensor.double().numpy()
    labels = [classes.names[number] for number in instances.pred_classes.tolist()]
    labels = [f"{name} {score:.2f}" for name, score in zip(labels, instances.scores.tolist(), strict=True)]
    if instances.has("pred_depths"):
        depths = instances.pred_depths.double().numpy()
        labels = [f"{label} depth {depth:.2f}" for label, depth in zip(labels, depths, strict=True)]
    elif color_by == "depth":
        raise ValueError("the network predicts no depth (MODEL.DEPTH.LAYER is False): colour by class or instance")
    if color_by == "depth":
        colors: list[Color] = [tuple(int(v) for v in row) for row in colorize(depths[:, None])[:, 0]]  # type: ignore[misc]
    elif color_by == "instance":
        places = (boxes[:, :2] + boxes[:, 2:]) / 2 / np.array(instances.image_size[::-1])
        colors = [_place_color(*pair) for pair in zip(instances.pred_classes.tolist(), places, strict=True)]
    else:
        colors = [instance_color(number) for number in instances.pred_classes.tolist()]
    masks = instances.pred_masks.numpy() if instances.has("pred_masks") else None
    return DrawnObjects(boxes, labels, masks, colors)


def _place_color(number: int, place: np.ndarray) -> Color:
    """A hue that moves once round the colour circle across the image, from a start that the class gives."""
    hue = (0.02 + number * 0.61803398875 + 0.6 * place[0] + 0.4 * place[1]) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.9, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def _frames(sources: Sequence[Source], settings: PredictionSettings, failures: list[str]) -> Iterator[Frame]:
    def note(error: MediaError) -> None:
        failures.append(str(error))

    return chain.from_iterable(islice(read_frames(s, note), _limit(s, settings)) for s in sources)


def _limit(source: Source, settings: PredictionSettings) -> int | None:
    return None if source.kind == "image" else settings.max_frames


def _total(sources: Sequence[Source], settings: PredictionSettings) -> int | None:
    """How many pictures there will be, for the progress bar; None where nobody knows."""
    total = 0
    for source in sources:
        count, limit = count_frames(source), _limit(source, settings)
        if count is None and limit is None:
            return None
        total += min(x for x in (count, limit) if x is not None)
    return total
