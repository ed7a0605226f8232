"""Listing of the files below a folder, once, without a stat per file."""

from __future__ import annotations

import os
from pathlib import Path

_HIDDEN = (".", "__MACOSX")


def list_files(folder: str | os.PathLike[str]) -> list[str]:
    """List the files below a folder.

    Hidden folders (".name", and "__MACOSX" of unpacked archives) are left out. Linked folders are followed; a folder
    that contains itself through a link is listed once. Folders that may not be read are left out.

    Args:
        folder: the top folder.

    Returns:
        Names relative to the folder, with "/", sorted; an empty list if the folder does not exist.
    """
    found: list[str] = []
    visited: set[str] = set()
    waiting = [(os.fspath(folder), "")]
    while waiting:
        path, prefix = waiting.pop()
        real = os.path.realpath(path)
        if real in visited:
            continue
        visited.add(real)
        try:
            entries = list(os.scandir(path))
        except OSError:
            continue
        for entry in entries:
            if not _is_folder(entry):
                found.append(prefix + entry.name)
            elif not entry.name.startswith(_HIDDEN):
                waiting.append((entry.path, f"{prefix}{entry.name}/"))
    return sorted(found)


def is_hidden(name: str) -> bool:
    """Return whether the file of a relative name is hidden."""
    return Path(name).name.startswith(".")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
