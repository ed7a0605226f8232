"""Preparation of a user's own data: reading, checks, and the JSON files of the run."""

from __future__ import annotations

import logging
import os
import statistics
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data.check.check import CheckSettings, check_dataset
from ..data.check.report import WIDTH, summary
from ..errors import show
from ..io.annotations.canonical import repaired_coco, write_coco
from ..io.annotations.json_file import load_json
from ..io.annotations.records import Note, format_note
from ..io.pages import describe_pages
from .sources import OwnData, OwnDataError, OwnSource, read_sources, shared_images
from .split import Split, count_kinds, describe_split, fingerprint_content, measure_objects, split_content

# The check before a training run reads at most this many images: all of them would take minutes on large sets.
CHECKED_IMAGES = 200
FOLDER = "data"


@dataclass(frozen=True)
class PreparedData:
    """Training and validation sets, and statistics for the recipe.

    Attributes:
        train, val: the sets; ``val`` is None if there are no images to evaluate on.
        classes: class names in the order of the network.
        short_side: median short side of the training images, in pixels.
        object_share: median side of the training objects (root of the box area) as a share of the image's short side;
            0 = unknown, because no object has a box.
    """

    train: Split
    val: Split | None
    classes: tuple[str, ...]
    short_side: int
    object_share: float


def prepare(
    own: OwnData, output: Path, *, check: bool = True, min_size: int = 800, max_size: int = 1333
) -> PreparedData:
    """Read, check and split a user's data; nothing is written.

    Points are not a ground truth for an evaluation: data with an object that has a point only are not split, and a
    validation set with such an object is left out with a warning.

    Args:
        own: data of the user.
        output: folder of the run.
        check: stop if ``depthbox check`` finds errors; at most ``CHECKED_IMAGES`` images are decoded.
        min_size, max_size: network input of the check, in pixels.

    Raises:
        OwnDataError: errors were found (they are printed), or the sets do not fit each other.
        ValueError, OSError: files that are missing or cannot be read.
    """
    sources = read_sources(own)
    for place, source in enumerate(sources):
        if check:
            check_or_stop(_check_settings(own, place, min_size, max_size), source)
        else:
            log_notes(source, sources[:place])
        names = [image["file_name"] for image in source.annotations.content["images"]]
        if pages := describe_pages(source.annotations.image_root, names):
            logging.getLogger(__name__).warning("%s", pages)
    contents = [repaired_coco(source.annotations) for source in sources]
    if len(sources) == 2:
        if (shared := shared_images(sources)) is not None:
            _log_note(sources[1], shared)
    elif not count_kinds(contents[0]).point:
        contents = split_content(contents[0], own.val_share, own.seed, sources[0].annotations.source)
    folder = Path(os.path.abspath(output)) / FOLDER
    splits = [
        describe_split(folder / f"{name}.json", Path(os.path.abspath(source.annotations.image_root)), content)
        for name, source, content in zip(("train", "val"), [*sources, sources[0]], contents, strict=False)
    ]
    return _summarize(_drop_points(splits), sources[0].annotations.source)


def check_or_stop(settings: CheckSettings, source: OwnSource) -> None:
    """Check a dataset; errors are printed in full, warnings are logged in short.

    Raises:
        OwnDataError: there are errors.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        report = check_dataset(settings, source.all_annotations)
    if report.errors:
        show(summary(report))
        images = f" --images {settings.images}" if settings.images else ""
        depth = f" --depth {settings.depth}" if settings.depth else ""
        look = f"depthbox check --data {settings.data}{images}{depth} --output look"
        kinds = f"{report.errors} kind{'s' * (report.errors > 1)} of errors"
        raise OwnDataError(f"{settings.data} has {kinds}, listed above: correct them (images of cases: {look})")
    logger = logging.getLogger(__name__)
    for finding in report.findings:
        if finding.rule.severity == "warning":
            text = f"{settings.data.name}: {finding.rule.title}: {finding.count}. {finding.rule.remedy}"
            logger.warning("%s", textwrap.fill(text, WIDTH, subsequent_indent="  "))


def log_notes(source: OwnSource, others: Sequence[OwnSource] = ()) -> None:
    """Log the notes of a set that other sets do not have: repairs as info, other notes as warnings."""
    known = {note for other in others for note in other.annotations.notes}
    for note in source.annotations.notes:
        if note not in known:
            _log_note(source, note)


def _log_note(source: OwnSource, note: Note) -> None:
    name = Path(os.path.abspath(source.annotations.source)).name
    level = logging.INFO if note.kind == "repaired" else logging.WARNING
    text = textwrap.fill(f"{name}: {format_note(note)}", WIDTH, subsequent_indent="  ")
    logging.getLogger(__name__).log(level, "%s", text)


def write_splits(data: PreparedData) -> list[Path]:
    """Write the COCO JSON files of both sets into OUTPUT/data, each of them complete or not at all."""
    splits = [split for split in (data.train, data.val) if split is not None]
    for split in splits:
        write_coco(split.content, split.json_file)
    return [split.json_file for split in splits]


def require_same_splits(data: PreparedData) -> None:
    """Check that a resumed run was started with the same data.

    Raises:
        OwnDataError: the images or objects differ from the JSON files of the run, or a set is missing there.
    """
    folder = data.train.json_file.parent
    found = {path.stem for path in folder.glob("*.json")}
    if not found:
        return  # nothing was written before the run stopped
    wanted = {"train": data.train, **({"val": data.val} if data.val else {})}
    for name, split in wanted.items():
        known = load_json(split.json_file) if name in found else {}
        if fingerprint_content(known) != fingerprint_content(split.content):
            raise OwnDataError(
                f"--resume: the {name} data differ from those of the run in {folder.parent} "
                f"({split.json_file}): give the same --data and --val-share, or another --output to start a new run"
            )


def _check_settings(own: OwnData, place: int, min_size: int, max_size: int) -> CheckSettings:
    data, images = (own.val_data or own.data, own.val_images) if place else (own.data, own.images)
    return CheckSettings(
        data=data,
        images=images,
        depth=None if place else own.depth,
        min_size=min_size,
        max_size=max_size,
        max_images=CHECKED_IMAGES,
        split="val" if place else "train",
    )


def _summarize(splits: Sequence[Split], source: Path) -> PreparedData:
    train = splits[0]
    if not train.annotated:
        raise OwnDataError(f"no image of {source} that is trained on has an object: lower --val-share, or add objects")
    sides = [min(image["height"], image["width"]) for image in train.content["images"]]
    classes = tuple(entry["name"] for entry in sorted(train.content["categories"], key=lambda entry: entry["id"]))
    val = splits[1] if len(splits) > 1 else None
    return PreparedData(train, val, classes, int(statistics.median(sides)), measure_objects(train.content))


def _drop_points(splits: list[Split]) -> list[Split]:
    """Leave out a validation set with objects that have a point only."""
    if len(splits) < 2 or not splits[1].kinds.point:
        return splits
    logging.getLogger(__name__).warning(
        "the validation data are not used: %d of their %d objects have a point only, which is not a ground truth. Give "
        "--val-data with a mask or box for each object",
        splits[1].kinds.point,
        splits[1].objects,
    )
    return splits[:1]
