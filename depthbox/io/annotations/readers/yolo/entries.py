"""Images of a split of a YOLO dataset: folders, or lists of image files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...notes import NoteCounter
from ...records import AnnotationError
from ..documents import LABEL_LIMIT, read_text
from ..image_files import ImageFolder, clean_name, is_file, is_folder, list_images
from ..rules import LISTED_IMAGE_NOT_FOUND, PATH_NOT_HERE, shorten
from .source import YoloSource


@dataclass(frozen=True)
class YoloImages:
    """Images of one split.

    Attributes:
        root: common folder of the images; their names are relative to it.
        files: paths of the images.
        folders: folders that all images of belong to the split; empty if a list names the images.
    """

    root: Path
    files: tuple[Path, ...]
    folders: tuple[Path, ...]


def resolve_entry(source: YoloSource, entry: str) -> Path | None:
    """Return the folder or list file that an entry of a split names; None if it does not exist.

    A folder below the dataset is preferred to one outside, since Roboflow writes ``../train/images`` for a folder
    beside the YAML file. If the entry does not exist, its trailing folders are searched below the dataset.
    """
    name = entry.replace("\\", "/")
    bases = (source.root, source.file.parent)
    inner = clean_name(name)
    outer = [base / name for base in bases]
    inside = [] if name.startswith("/") else [base / inner for base in bases]
    found = next((path for path in inside + outer if is_folder(path) or _is_list(path)), None)
    if found is not None:
        return Path(os.path.normpath(found))
    parts = PurePosixPath(inner).parts
    sole = len(source.entries) == 1
    for start in range(1, len(parts)):
        tail = "/".join(parts[start:])
        # A lone "images" does not tell the splits apart.
        path = source.root / tail
        if (sole or tail.lower() != "images") and (is_folder(path) or _is_list(path)):
            return path
    return None


def split_images(source: YoloSource, split: str, notes: NoteCounter) -> YoloImages:
    """Return the images of a split that the dataset's file names.

    Raises:
        AnnotationError: a folder or list file does not exist.
    """
    paths = []
    for entry in source.entries[split]:
        path = resolve_entry(source, entry)
        if path is None:
            tried = source.root / clean_name(entry)
            raise AnnotationError(
                f"{source.file} names the images of '{split}' as '{shorten(entry)}', but {tried} does not exist;"
                " correct the entry, or give the folder with --images"
            )
        if source.foreign_path or not _is_literal(source, entry, path):
            notes.add(PATH_NOT_HERE, f"{source.foreign_path or entry} -> {path}")
        paths.append(path)
    return _collect(source, paths, notes)


def folder_images(folder: Path) -> YoloImages:
    """Return all images of a folder."""
    return YoloImages(folder, tuple(list_images(folder)), (folder,))


def given_images(source: YoloSource, images: Path, split: str) -> YoloImages:
    """Return the images of a split in the folder given by the user: a subfolder named as in the entry, or all.

    Raises:
        AnnotationError: the folder does not exist.
    """
    if not is_folder(images):
        raise AnnotationError(f"the folder {images} does not exist; correct --images")
    for entry in source.entries.get(split, ()):
        parts = PurePosixPath(clean_name(entry)).parts
        tails = (images / "/".join(parts[start:]) for start in range(len(parts)))
        below = next((path for path in tails if is_folder(path)), None)
        if below is not None and len(source.entries[split]) == 1:
            return folder_images(below)
    return folder_images(images)


def _collect(source: YoloSource, paths: Sequence[Path], notes: NoteCounter) -> YoloImages:
    folders = tuple(path for path in paths if is_folder(path))
    files: dict[Path, None] = {}
    for path in paths:
        files.update(dict.fromkeys(list_images(path) if is_folder(path) else _listed(source, path, notes)))
    if len(folders) == len(paths) == 1:
        return YoloImages(folders[0], tuple(files), folders)
    kept = folders if len(folders) == len(paths) else ()
    if all(source.root in file.parents for file in files):
        return YoloImages(source.root, tuple(files), kept)
    absolute = tuple(Path(os.path.abspath(file)) for file in files)
    root = Path(os.path.commonpath([file.parent for file in absolute]))
    return YoloImages(root, absolute, tuple(Path(os.path.abspath(folder)) for folder in kept))


def _listed(source: YoloSource, path: Path, notes: NoteCounter) -> list[Path]:
    """Return the images that a list file names; each has to lie in the dataset's folder."""
    lines = [line.strip() for line in read_text(path, LABEL_LIMIT * 16).splitlines() if line.strip()]
    names = Counter(clean_name(line).rpartition("/")[2] for line in lines)
    folder: ImageFolder | None = None
    found = []
    for line in lines:
        file = _inside(source.root, [source.root, path.parent], line)
        if file is None:
            folder = folder or ImageFolder.scan(source.root)
            base = clean_name(line).rpartition("/")[2]
            name = folder.find(line) or (folder.find(base) if names[base] == 1 else None)
            file = None if name is None else source.root / name
        if file is None:
            notes.add(LISTED_IMAGE_NOT_FOUND, f"{path.name}: {line}")
        else:
            found.append(file)
    return found


def _inside(root: Path, bases: Sequence[Path], line: str) -> Path | None:
    """Return the file of a line of a list, if it exists below the root."""
    for base in bases:
        path = Path(os.path.normpath(base / line.replace("\\", "/")))
        if is_file(path):
            if root in path.parents:
                return path
            resolved, home = path.resolve(), root.resolve()
            if home in resolved.parents:
                return root / resolved.relative_to(home)
    return None


def _is_literal(source: YoloSource, entry: str, path: Path) -> bool:
    """Return whether an entry names a path as it is, apart from a leading "..", as Roboflow writes it."""
    name = entry.replace("\\", "/")
    direct = [source.root / name, source.root / clean_name(name), source.file.parent / name]
    direct.append(source.file.parent / clean_name(name))
    return any(Path(os.path.normpath(candidate)) == Path(os.path.normpath(path)) for candidate in direct)


def _is_list(path: Path) -> bool:
    return path.suffix.lower() == ".txt" and is_file(path)
