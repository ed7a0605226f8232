"""Files of the images of an annotation file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..file_names import FileIndex, FileMatch, normalize_name

NameState = Literal["exact", "respelled", "moved", "missing", "outside"]
_STRICTNESS = ("exact", "respelled", "moved")


@dataclass(frozen=True)
class ResolvedName:
    """The file that a ``file_name`` stands for.

    Attributes:
        file: relative to the image folder, with "/"; "" if ``state`` is "outside".
        state: as in ``FileMatch``, or "missing" (not on disk), or "outside" (leaves the folder or is not a name).
    """

    file: str
    state: NameState


def resolve_names(names: Iterable[str], root: Path, check_files: bool) -> dict[str, ResolvedName]:
    """Resolve the file names of an annotation file.

    A name never takes a file that another name matches more exactly, and names that match a file of other folders
    equally well match nothing: otherwise the objects of a missing image would go to another image.

    Args:
        names: values of ``file_name``.
        root: the image folder.
        check_files: match the names to the files on disk; otherwise names are normalized only.
    """
    unique = dict.fromkeys(names)
    if not check_files:
        return {name: _without_disk(name, root) for name in unique}
    index = FileIndex(root)
    matches = {name: index.match(name) for name in unique}
    losers = _losing_names(matches)
    return {
        name: ResolvedName(match.file, match.agreement) if match and name not in losers else _absent(name, root)
        for name, match in matches.items()
    }


def _losing_names(matches: dict[str, FileMatch | None]) -> set[str]:
    claims: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name, match in matches.items():
        if match:
            claims[match.file].append((match.agreement, name))
    losers: set[str] = set()
    for rivals in claims.values():
        if len(rivals) > 1:
            best = min((agreement for agreement, _ in rivals), key=_STRICTNESS.index)
            chosen = {name for agreement, name in rivals if agreement == best}
            if best == "moved" and len({name.replace("\\", "/") for name in chosen}) > 1:
                chosen = set()
            losers.update(name for _, name in rivals if name not in chosen)
    return losers


def _without_disk(name: str, root: Path) -> ResolvedName:
    normal = normalize_name(name, root)
    if normal is None:
        return ResolvedName("", "outside")
    return ResolvedName(normal, "exact" if normal == name else "respelled")


def _absent(name: str, root: Path) -> ResolvedName:
    normal = normalize_name(name, root)
    return ResolvedName("", "outside") if normal is None else ResolvedName(normal, "missing")
