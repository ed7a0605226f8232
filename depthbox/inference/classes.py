"""The names and json ids of a network's classes, from wherever they are known."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode


@dataclass(frozen=True)
class ClassList:
    """The classes of a network, in its order.

    Attributes:
        names: shown to people.
        ids: category ids in a COCO json.
    """

    names: tuple[str, ...]
    ids: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.names)

    def categories(self) -> list[dict[str, Any]]:
        """The ``categories`` of a COCO json."""
        return [{"id": number, "name": name} for number, name in zip(self.ids, self.names, strict=True)]


def find_classes(cfg: CfgNode, given: str = "") -> ClassList:
    """The network's classes.

    Args:
        cfg: of the training; where nothing is given, the json of its training set is looked at, if it is still there.
        given: a COCO json, a text file with a name a line, or names with commas between; "" = not given.

    Raises:
        ValueError: what is given has another number of classes than the network, or cannot be read.
    """
    count = int(cfg.MODEL.FCOS.NUM_CLASSES)
    if given:
        classes = _read(given)
        if len(classes) != count:
            raise ValueError(
                f"--classes {given} names {len(classes)} classes, the network has {count} (MODEL.FCOS.NUM_CLASSES): "
                "name those that it was trained with, in their order"
            )
        return classes
    for path in _training_files(cfg):
        try:
            classes = _from_json(Path(path))
        except (OSError, ValueError):
            continue
        if len(classes) == count:
            return classes
    return numbered_classes(count)


def numbered_classes(count: int) -> ClassList:
    """Classes of which nothing is known but their number."""
    numbers = range(1, count + 1)
    return ClassList(tuple(f"class {number}" for number in numbers), tuple(numbers))


def _read(given: str) -> ClassList:
    path = Path(given)
    if path.suffix.lower() == ".json":
        return _from_json(path)
    if path.suffix.lower() == ".txt" or path.is_file():
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    else:
        names = [name.strip() for name in given.split(",")]
    return _named([name for name in names if name])


def _named(names: Sequence[str]) -> ClassList:
    return ClassList(tuple(names), tuple(range(1, len(names) + 1)))


def _from_json(path: Path) -> ClassList:
    with open(path, encoding="utf-8") as file:
        try:
            content = json.load(file)
        except ValueError as error:
            raise ValueError(f"{path} is no valid json: {error}") from error
    try:
        pairs = sorted((category["id"], str(category["name"])) for category in content["categories"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is no COCO json: it has no categories with id and name") from error
    return ClassList(tuple(name for _, name in pairs), tuple(number for number, _ in pairs))


def _training_files(cfg: CfgNode) -> list[str]:
    """The json files of the training sets, then those of the other sets of the config."""
    entries = [entry for entry in cfg.DATASETS.COCO_STYLE if len(entry) >= 3]
    entries.sort(key=lambda entry: entry[0] not in cfg.DATASETS.TRAIN)
    files = [os.path.expanduser(os.path.expandvars(str(entry[1]))) for entry in entries]
    builtin = []
    if any(str(name).startswith("coco_2017") for name in cfg.DATASETS.TRAIN):
        root = Path(os.environ.get("DETECTRON2_DATASETS", "datasets")).expanduser()
        builtin = [str(root / "coco" / "annotations" / f"instances_{split}2017.json") for split in ("val", "train")]
    return [*files, *builtin]
