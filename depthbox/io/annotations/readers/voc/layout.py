"""Folders of Pascal VOC: annotation files, images and lists of the splits."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...records import AnnotationError
from ..documents import read_text
from ..image_files import child_folder, clean_name, find_image_folder, is_file, is_folder, is_image, list_files
from ..image_files import split_folders as find_split_folders

ANNOTATION_FOLDERS = ("Annotations", "annotation", "annots", "annot", "xmls", "xml", "labels", "label")
_LISTS = ("train", "val", "trainval", "test")
_CLASS_LIST = re.compile(r"^(?P<name>.*\S)\s+(-1|0|1)$")


@dataclass(frozen=True)
class VocSplit:
    """Files of one split.

    Attributes:
        annotations: folder that the names of the images are compared in.
        files: XML files of the split.
        others: XML files of the other splits; their class names belong to the dataset.
        images: folder of the images.
        listed: whether a list names the images of the split.
        missing: names of the list without an XML file.
    """

    annotations: Path
    files: tuple[Path, ...]
    others: tuple[Path, ...]
    images: Path
    listed: bool = False
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Groups:
    """XML files per split; ``parts`` holds the folder of each split that has images of its own."""

    annotations: Path
    files: Mapping[str, tuple[Path, ...]]
    parts: Mapping[str, Path] = field(default_factory=dict)
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def find_voc_files(source: Path) -> list[Path]:
    """Return the XML files of a folder: of its subfolder of annotations if there is one, otherwise its own."""
    named = child_folder(source, *ANNOTATION_FOLDERS)
    if named is not None and (files := list_files(named, (".xml",))):
        return files
    return list_files(source, (".xml",), recursive=False)


def voc_splits(source: Path) -> tuple[str, ...]:
    """Return the splits of a dataset; () if it has no splits."""
    return tuple(split for split in _group(source).files if split in ("train", "val", "test"))


def voc_split(source: Path, images: Path | None, split: str) -> VocSplit | None:
    """Return the files of one split of a dataset.

    Args:
        source: the dataset's folder, its folder of annotations, or one XML file.
        images: folder of the images; None = search for it.
        split: "train", "val", "trainval" or "test"; of no effect if the dataset has no splits.

    Returns:
        The files; None if the dataset has splits, but not this one.

    Raises:
        AnnotationError: the source has no XML file, or ``images`` is not a folder.
    """
    groups = _group(source)
    if not groups.files:
        raise AnnotationError(f"there are no .xml files in {source}; give the folder of the annotations")
    if "" in groups.files:
        split = ""
    if split not in groups.files:
        return None
    files = groups.files[split]
    others = {path for name, paths in groups.files.items() if name != split for path in paths} - set(files)
    part = groups.parts.get(split)
    annotations = part or groups.annotations
    home = source.parent if is_file(source) else part or source
    folder = find_image_folder(home, images)
    if images is not None and part is not None and is_folder(images / part.name):
        folder = images / part.name
    listed = split in groups.missing
    return VocSplit(annotations, files, tuple(sorted(others)), folder, listed, groups.missing.get(split, ()))


def _group(source: Path) -> _Groups:
    if is_file(source):
        return _Groups(source.parent, {"": (source,)})
    files = find_voc_files(source)
    if not files:
        folders = find_split_folders(source)
        parts = {split: tuple(found) for split, part in folders.items() if (found := find_voc_files(part))}
        return _Groups(source, parts, {split: folders[split] for split in parts})
    named = child_folder(source, *ANNOTATION_FOLDERS)
    root = named if named is not None and named in files[0].parents else source
    below = {split: tuple(p for p in files if part in p.parents) for split, part in find_split_folders(root).items()}
    below = {split: found for split, found in below.items() if found}
    if below and sum(len(found) for found in below.values()) == len(files):
        return _Groups(root, below)
    return _group_by_lists(root, files, _find_lists(source)) or _Groups(root, {"": tuple(files)})


def _group_by_lists(root: Path, files: list[Path], lists: Mapping[str, Path]) -> _Groups | None:
    """Divide files by the lists in ImageSets.

    Without a list of "train", this split consists of "trainval" without "val"; without a list of "trainval", it
    consists of "train" and "val".
    """
    if not lists:
        return None
    stems = {path.relative_to(root).with_suffix("").as_posix(): path for path in files}
    stems.update({path.stem: path for path in files})
    names = {split: _read_list(path, stems) for split, path in lists.items()}
    if "train" not in names and "trainval" in names:
        val = set(names.get("val", ()))
        names["train"] = tuple(name for name in names["trainval"] if name not in val)
    if "trainval" not in names and "train" in names:
        names["trainval"] = (*names["train"], *names.get("val", ()))
    ordered: list[str] = [split for split in ("train", "val", "test", "trainval") if split in names]
    found = {split: tuple(dict.fromkeys(stems[n] for n in names[split] if n in stems)) for split in ordered}
    missing = {split: tuple(name for name in names[split] if name not in stems) for split in ordered}
    return _Groups(root, found, {}, missing)


def _find_lists(source: Path) -> dict[str, Path]:
    """Return the list files; the source may be the dataset or its folder of annotations."""
    for root in (source, source.resolve().parent):
        sets = child_folder(root, "ImageSets")
        if sets is None:
            continue
        for folder in (child_folder(sets, "Main"), sets):
            if folder is not None:
                lists = {name: folder / f"{name}.txt" for name in _LISTS if is_file(folder / f"{name}.txt")}
                if lists:
                    return lists
    return {}


def _read_list(path: Path, stems: Mapping[str, Path]) -> tuple[str, ...]:
    names = []
    for line in read_text(path).splitlines():
        name = clean_name(line)
        match = _CLASS_LIST.match(name)  # lists of one class add -1, 0 or 1 to each name
        if match and name not in stems:
            name = match["name"]
        if name and (is_image(name) or name.lower().endswith(".xml")):
            name = posixpath.splitext(name)[0]
        if name:
            names.append(name)
    return tuple(dict.fromkeys(names))
