"""Names and category ids of a network's classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from ..io.annotations.canonical.categories import read_categories
from ..io.annotations.json_file import load_json
from ..io.annotations.notes import NoteCounter


@dataclass(frozen=True)
class ClassList:
    """Classes of a network, in the order of its outputs.

    Attributes:
        names: K names.
        ids: K category ids, of any kind that the user's file has.
        known: whether the names are known; False if the classes are only numbered.
    """

    names: tuple[str, ...]
    ids: tuple[Any, ...]
    known: bool = True

    def __len__(self) -> int:
        return len(self.names)

    def categories(self) -> list[dict[str, Any]]:
        """Return the ``categories`` of a COCO JSON file."""
        return [{"id": number, "name": name} for number, name in zip(self.ids, self.names, strict=True)]


def find_classes(cfg: CfgNode, given: str = "") -> ClassList:
    """Find the classes of a network.

    Args:
        cfg: config of the training run.
        given: COCO JSON file, text file with one name per line, or names separated by commas; "" = the annotation file
            of the training set if it exists and fits, else the classes are numbered.

    Raises:
        ValueError: ``given`` cannot be read, or its number of classes is not that of the network.
    """
    count = count_classes(cfg)
    if given:
        classes = _read_given(given)
        if len(classes) != count:
            raise ValueError(
                f"--classes {given} names {len(classes)} classes, the network has {count} "
                f"({_find_node(cfg)}.NUM_CLASSES): name the classes of its training run, in their order"
            )
        return classes
    for path in _list_training_files(cfg):
        try:
            classes = _read_json(Path(path))
        except (OSError, ValueError):  # the training set was moved or is not a COCO JSON file
            continue
        if len(classes) == count:
            return classes
    return number_classes(count)


def count_classes(cfg: CfgNode) -> int:
    """Return the number of classes of the network of a config."""
    node = cfg
    for part in _find_node(cfg).split("."):
        node = node[part]
    return int(node.NUM_CLASSES)


def _find_node(cfg: CfgNode) -> str:
    return "MODEL.P2SEG" if cfg.MODEL.META_ARCHITECTURE == "P2Seg" else "MODEL.FCOS"


def number_classes(count: int) -> ClassList:
    """Return classes without known names: "class 1", "class 2", ..."""
    numbers = range(1, count + 1)
    return ClassList(tuple(f"class {number}" for number in numbers), tuple(numbers), known=False)


def _read_given(given: str) -> ClassList:
    path = Path(given)
    if path.suffix.lower() == ".json":
        return _read_json(path)
    if path.suffix.lower() == ".txt" or path.is_file():
        names: Sequence[str] = path.read_text(encoding="utf-8").splitlines()
    else:
        names = given.split(",")
    names = [name.strip() for name in names if name.strip()]
    return ClassList(tuple(names), tuple(range(1, len(names) + 1)))


def _read_json(path: Path) -> ClassList:
    """Read the categories of a COCO JSON file, in the order in which training numbers them."""
    content = load_json(path)
    if not (isinstance(content, dict) and content.get("categories")):
        raise ValueError(f"{path} is not a COCO JSON file: it has no categories with id and name")
    annotations = content.get("annotations")
    table = read_categories(
        content["categories"], annotations if isinstance(annotations, list) else [], path, NoteCounter()
    )
    return ClassList(tuple(entry["name"] for entry in table.entries), tuple(table.original_ids))


def _list_training_files(cfg: CfgNode) -> list[str]:
    """List the annotation files of the training sets, then those of the other datasets of the config."""
    entries = [entry for entry in cfg.DATASETS.COCO_STYLE if len(entry) >= 3]
    entries.sort(key=lambda entry: entry[0] not in cfg.DATASETS.TRAIN)
    files = [os.path.expanduser(os.path.expandvars(str(entry[1]))) for entry in entries]
    builtin = []
    if any(str(name).startswith("coco_2017") for name in cfg.DATASETS.TRAIN):
        root = Path(os.environ.get("DETECTRON2_DATASETS", "datasets")).expanduser()
        builtin = [str(root / "coco" / "annotations" / f"instances_{split}2017.json") for split in ("val", "train")]
    return [*files, *builtin]
