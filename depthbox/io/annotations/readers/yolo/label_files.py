"""Label files of YOLO images: in ``labels`` instead of ``images``, or beside the images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..image_files import child_folder, name_key, walk_folder
from .names import LIST_FILES, NAMES_FILES

_IMAGE_FOLDERS = ("images", "jpegimages", "image", "imgs")
_NOT_LABELS = frozenset((*NAMES_FILES, *LIST_FILES, "notes.txt", "license.txt"))


class LabelFinder:
    """Search for the label file of each image."""

    def __init__(self, root: Path, folders: Sequence[Path]) -> None:
        """Prepare the search.

        Args:
            root: folder of the dataset.
            folders: folders of images.
        """
        self._root, self._folders = root, folders
        self._labels: dict[Path, list[dict[str, Path]]] = {}
        self._listings: dict[Path, dict[str, Path]] = {}
        self.used: set[Path] = set()

    def find(self, image: Path) -> Path | None:
        """Return the label file of an image; None if there is none."""
        if image.parent not in self._labels:
            places = dict.fromkeys(self._places(image.parent))
            self._labels[image.parent] = [self._list(place) for place in places]
        key = name_key(os.path.splitext(image.name)[0])
        found = next((files[key] for files in self._labels[image.parent] if key in files), None)
        if found is not None:
            self.used.add(found)
        return found

    def expected(self, image: Path) -> Path:
        """Return the folder that the label file of an image belongs to."""
        return next(iter(self._places(image.parent)))

    def unused(self) -> list[Path]:
        """Return the label files in the used label folders that belong to no image."""
        found: set[Path] = set()
        for folder in self._folders:
            place = next((place for place in self._places(folder) if self._is_used(place)), None)
            if place is not None:
                found.update(file for inner, _ in _walk(place) for file in self._list(inner).values())
        return sorted(found - self.used)

    def _is_used(self, place: Path) -> bool:
        return any(place in file.parents for file in self.used)

    def _places(self, folder: Path) -> Iterable[Path]:
        """Yield the folders in which labels of the images in a folder may lie."""
        parts = folder.parts
        at = max((i for i, part in enumerate(parts) if part.lower() in _IMAGE_FOLDERS), default=None)
        if at is not None:
            labels = child_folder(Path(*parts[:at]), "labels") or Path(*parts[:at], "labels")
            yield labels.joinpath(*parts[at + 1 :])
        yield folder
        yield folder / "labels"
        for images in self._folders:
            if folder == images or images in folder.parents:
                inner = folder.relative_to(images)
                yield self._root / "labels" / images.name / inner
                yield self._root / "labels" / inner

    def _list(self, folder: Path) -> dict[str, Path]:
        """Return the label files of a folder by the key of their stem."""
        if folder not in self._listings:
            names = next((names for _, names in _walk(folder)), [])
            labels = [name for name in names if _is_label(name)]
            self._listings[folder] = {name_key(name[:-4]): folder / name for name in labels}
        return self._listings[folder]


def _walk(folder: Path) -> Iterable[tuple[Path, list[str]]]:
    return walk_folder(folder) if folder.is_dir() else ()


def _is_label(name: str) -> bool:
    lower = name.lower()
    return lower.endswith(".txt") and lower not in _NOT_LABELS and not lower.startswith("readme")
