"""File names of annotation files, matched to the files of the image folder."""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from ..folders import list_files

Agreement = Literal["exact", "respelled", "moved"]
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass(frozen=True)
class FileMatch:
    """A file of the image folder that a name stands for.

    Attributes:
        file: relative to the folder, with "/", as spelled on disk.
        agreement: "exact"; "respelled": equal but for slashes, Unicode form, letter case, blanks or percent signs;
            "moved": in a folder with more or fewer parts.
    """

    file: str
    agreement: Agreement


class FileIndex:
    """The files below a folder, found by names that may be spelled in another way. The folder is listed once.

    Args:
        root: the image folder. Hidden folders below it are left out.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)

    def find(self, name: str) -> str | None:
        """Return the file that a name stands for, relative to the folder; None if there is none or more than one."""
        match = self.match(name)
        return match.file if match else None

    def match(self, name: str) -> FileMatch | None:
        """Match a name to one file below the folder.

        A name matches a file that is spelled alike, else the only file of that base name whose path has the parts of
        the name with some left out ("images/1/a.png" for the file "images/a.png"), or ends with the name ("a.png" for
        the file "day1/a.png"). No file outside the folder is ever returned.
        """
        if name in self._files:
            return FileMatch(name, "exact")
        if not is_sound(name):
            return None
        inside = normalize_name(name, self.root)
        if inside in self._files:
            return FileMatch(inside, "respelled")
        for spelling in dict.fromkeys((name, unquote(name))):
            inside = normalize_name(spelling, self.root)
            found = self._by_spelling.get(_fold(inside), ()) if inside else ()
            if found:
                chosen = _closest_spelling(found, inside or "")
                return FileMatch(chosen, "respelled") if chosen else None
        return self._moved(unquote(name) if "%" in name else name)

    @cached_property
    def _files(self) -> frozenset[str]:
        return frozenset(list_files(self.root))

    @cached_property
    def _by_spelling(self) -> dict[str, list[str]]:
        return _group(self._files, _fold)

    @cached_property
    def _by_base_name(self) -> dict[str, list[str]]:
        return _group(self._files, lambda file: _fold(posixpath.basename(file)))

    def _moved(self, name: str) -> FileMatch | None:
        parts = [part for part in _fold(_plain(name)).split("/") if part not in ("", ".", "..")]
        if not parts:
            return None
        scores: dict[str, int] = {}
        for file in self._by_base_name.get(parts[-1], ()):
            own = _fold(file).split("/")
            if _is_part_of(own, parts):
                scores[file] = len(own)
            elif own[-len(parts) :] == parts:
                scores[file] = len(parts)
        best = [file for file, score in scores.items() if score == max(scores.values())]
        return FileMatch(best[0], "moved") if len(best) == 1 else None


def normalize_name(name: str, root: str | os.PathLike[str]) -> str | None:
    """Normalize a file name without regard to the files on disk.

    Args:
        name: as written in an annotation file: backslashes, a byte order mark, "./" or an absolute path are allowed.
        root: the image folder.

    Returns:
        The name relative to ``root``, with "/"; None if it is not a file name or lies outside ``root``.
    """
    if not is_sound(name):
        return None
    plain = _plain(name)
    if is_absolute(plain):
        folder = _plain(os.path.abspath(root))
        if not plain.startswith(f"{folder.rstrip('/')}/"):
            return None
        plain = plain[len(folder.rstrip("/")) + 1 :]
    normal = posixpath.normpath(plain) if plain else "."
    if normal in (".", "..") or normal.startswith(("../", "/")):
        return None
    return normal


def is_sound(name: str) -> bool:
    """Return whether a text may be a file name: not empty and without control characters."""
    return bool(name.strip()) and not any(
        ord(letter) < 32 or 127 <= ord(letter) < 160 or 0xD800 <= ord(letter) < 0xDC80 or 0xDCFF < ord(letter) < 0xE000
        for letter in name
    )


def is_absolute(name: str) -> bool:
    """Return whether a name is an absolute path or an address, of any operating system."""
    return name.startswith(("/", "\\")) or bool(_DRIVE.match(name) or _SCHEME.match(name))


def _plain(name: str) -> str:
    return name.replace("\\", "/").strip("\ufeff \t")


def _fold(name: str) -> str:
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _group(files: frozenset[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for file in sorted(files):
        groups[key(file)].append(file)
    return groups


def _closest_spelling(files: Sequence[str], name: str) -> str | None:
    """Return the only file, or of several the one that differs in its Unicode form alone."""
    if len(files) == 1:
        return files[0]
    same = [file for file in files if unicodedata.normalize("NFC", file) == unicodedata.normalize("NFC", name)]
    return same[0] if len(same) == 1 else None


def _is_part_of(short: Sequence[str], long: Sequence[str]) -> bool:
    """Return whether all parts of one path occur in the other in their order."""
    rest = iter(long)
    return all(part in rest for part in short)
