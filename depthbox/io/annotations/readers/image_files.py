"""Files of an image folder: their listing, their sizes, and the search by the names of annotation files."""

from __future__ import annotations

import os
import posixpath
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ...images import IMAGE_SUFFIXES, ImageError, image_size, read_image
from ...images import list_images as list_image_names
from ..records import AnnotationError

IMAGE_FOLDERS = ("JPEGImages", "images", "image", "imgs", "img", "data")
_END_MARKERS = {b"\x89PNG": b"IEND", b"\xff\xd8": b"\xff\xd9"}
_TRAILER = 4096
SPLIT_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}


def canonical_split(name: str) -> str:
    """Return "train", "val" or "test" for one of their other names; any other name in lower case."""
    name = name.strip().lower()
    return next((split for split, names in SPLIT_NAMES.items() if name in names), name)


def is_file(path: Path) -> bool:
    """Return whether a path is an existing file; impossible names are not."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Return whether a path is an existing folder; impossible names are not."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def is_image(name: str) -> bool:
    """Return whether a file name has the suffix of an image."""
    return posixpath.splitext(name)[1].lower() in IMAGE_SUFFIXES


def name_key(name: str) -> str:
    """Return a name for comparisons: neither case nor the Unicode composition counts."""
    return unicodedata.normalize("NFC", name).casefold()


def walk_folder(folder: Path, recursive: bool = True) -> Iterator[tuple[Path, list[str]]]:
    """Yield each folder below a folder with the sorted names of its files; hidden files and folders are skipped."""
    visited: set[tuple[int, int]] = set()
    for place, folders, files in os.walk(folder, onerror=_raise, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in visited:  # a link to a folder above
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if _is_visible(name)) if recursive else []
        yield Path(place), sorted(name for name in files if _is_visible(name))


def list_files(folder: Path, suffixes: tuple[str, ...], recursive: bool = True) -> list[Path]:
    """Return the files of a folder with one of the suffixes (lower case), sorted by their relative path."""
    found = [
        place / name
        for place, names in walk_folder(folder, recursive)
        for name in names
        if name.lower().endswith(suffixes)
    ]
    return sorted(found)


def list_images(folder: Path) -> list[Path]:
    """Return the images of a folder and its subfolders, sorted by their relative path.

    Raises:
        OSError: the folder may not be read.
    """
    os.listdir(folder)
    return sorted(folder / name for name in list_image_names(folder))


def child_folders(folder: Path) -> list[Path]:
    """Return the visible subfolders of a folder, sorted by name."""
    try:
        return sorted(path for path in folder.iterdir() if _is_visible(path.name) and is_folder(path))
    except OSError:
        return []


def child_folder(folder: Path, *names: str) -> Path | None:
    """Return the first subfolder with one of the names, in the order of the names; case does not count."""
    children = {path.name.lower(): path for path in child_folders(folder)}
    return next((children[name.lower()] for name in names if name.lower() in children), None)


def split_folders(folder: Path) -> dict[str, Path]:
    """Return the subfolders named train, val (or valid) and test."""
    found = {split: child_folder(folder, *names) for split, names in SPLIT_NAMES.items()}
    return {split: path for split, path in found.items() if path is not None}


def find_image_folder(folder: Path, images: Path | None = None) -> Path:
    """Return the folder of the images that belong to the annotations in a folder.

    Args:
        folder: folder of the annotations.
        images: folder given by the user; None = search for a subfolder such as ``images``, then in ``folder`` itself,
            then beside it.

    Raises:
        AnnotationError: ``images`` is not a folder.
    """
    if images is not None:
        if not is_folder(images):
            raise AnnotationError(f"the folder {images} does not exist; correct --images")
        return images
    parent = folder.resolve().parent if folder.name in ("", "..") else folder.parent
    for place in (child_folder(folder, *IMAGE_FOLDERS), folder, child_folder(parent, *IMAGE_FOLDERS)):
        if place is not None and _has_images(place):
            return place
    beside = next((names for _, names in walk_folder(parent, recursive=False)), [])
    return parent if any(is_image(name) for name in beside) else folder


def measure_image(path: Path) -> tuple[int, int]:
    """Return the upright (height, width) of an image in pixels.

    Raises:
        AnnotationError: the image cannot be read.
    """
    try:
        size = image_size(path)
        _require_end(path)
    except ImageError as error:
        raise AnnotationError(str(error)) from error
    except Exception as error:  # decoders of broken files raise exceptions of every kind
        cause = str(error) or type(error).__name__
        raise AnnotationError(f"the image {path} is truncated or damaged ({cause}); replace it") from error
    return size


@dataclass(frozen=True)
class ImageFolder:
    """Images of a folder and its subfolders, found by the names that annotations use.

    Attributes:
        root: the folder.
        files: paths relative to it, with "/".
    """

    root: Path
    files: tuple[str, ...]
    _by_name: dict[str, list[str]] = field(default_factory=dict, repr=False)
    _by_stem: dict[str, list[str]] = field(default_factory=dict, repr=False)

    @classmethod
    def scan(cls, root: Path) -> ImageFolder:
        """Return the images of a folder."""
        folder = cls(root, tuple(path.relative_to(root).as_posix() for path in list_images(root)))
        for file in folder.files:
            name = name_key(posixpath.basename(file))
            folder._by_name.setdefault(name, []).append(file)
            folder._by_stem.setdefault(posixpath.splitext(name)[0], []).append(file)
        return folder

    def find(self, name: str) -> str | None:
        """Return the file that a name stands for; None if there is none, or more than one.

        The name may have folders that the image folder lacks, or lack folders that it has: one of both paths has to
        end with the other. Case, backslashes and the Unicode composition do not count. An image with another suffix
        is taken if there is none with the suffix of the name.
        """
        name = clean_name(name)
        key = name_key(posixpath.basename(name))
        if not key:
            return None
        if name in self._by_name.get(key, ()):
            return name
        found = self._best(name, self._by_name.get(key, []))
        # A name without the suffix of an image may be a stem that contains a dot.
        stem = posixpath.splitext(key)[0] if is_image(key) else key
        return found or self._best(name, self._by_stem.get(stem, []))

    def _best(self, name: str, files: list[str]) -> str | None:
        scores = sorted(((_common_parts(name, file), file) for file in files), reverse=True)
        fitting = [(score, file) for score, file in scores if score]
        if not fitting or (len(fitting) > 1 and fitting[0][0] == fitting[1][0]):
            return None
        return fitting[0][1]


def clean_name(name: str) -> str:
    """Return a file name of an annotation as a relative path with "/", without ".." or drive."""
    parts = name.strip().replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", ".", "..") and not part.endswith(":"))


def _common_parts(name: str, file: str) -> int:
    """Return the number of equal trailing parts of two paths; 0 unless one path ends with the other."""
    first, second = (name_key(posixpath.splitext(path)[0]).split("/")[::-1] for path in (_with_suffix(name), file))
    shorter = min(len(first), len(second))
    return shorter if first[:shorter] == second[:shorter] else 0


def _with_suffix(name: str) -> str:
    return name if is_image(name) else name + ".jpg"


def _is_visible(name: str) -> bool:
    return not name.startswith((".", "__MACOSX")) and name != "lost+found"


def _raise(error: OSError) -> None:
    raise error


def _require_end(path: Path) -> None:
    """Decode a PNG or JPEG file without an end marker: it is probably cut off.

    Raises:
        ImageError: the file is cut off.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(8)
        marker = next((end for magic, end in _END_MARKERS.items() if start.startswith(magic)), None)
        file.seek(max(file.seek(0, 2) - _TRAILER, 0))
        if marker is None or marker in file.read():
            return
    read_image(path)


def _has_images(folder: Path) -> bool:
    return any(is_image(name) for _, names in walk_folder(folder) for name in names)
