"""CSV tables, read line by line."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..records import AnnotationError
from .rules import shorten

TABLE_SUFFIXES = (".csv", ".tsv")
_HEADER_LENGTH = 65536
_MAX_BYTES = 4 * 2**30  # the boxes of Open Images have about 2 GB


def peek_columns(path: Path) -> tuple[str, ...]:
    """Return the column names of a CSV file in lower case; () if it cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            line = file.readline(_HEADER_LENGTH)
        names = next(csv.reader([line], delimiter=_separator(line)), [])
    except (OSError, csv.Error):
        return ()
    return tuple(name.strip().lower() for name in names)


def read_rows(path: Path, required: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield each line as column name (lower case) -> stripped text; "line" holds the line's number.

    Raises:
        AnnotationError: the file cannot be read, or a required column is missing.
    """
    columns = peek_columns(path)
    missing = [name for name in required if name not in columns]
    if missing:
        raise AnnotationError(f"{path} has no column(s) {', '.join(missing)}; correct its first line")
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise AnnotationError(f"{path} has more than the {_MAX_BYTES >> 20} MiB that are read; split it")
        with path.open(encoding="utf-8-sig", newline="") as file:
            separator = _separator(file.readline(_HEADER_LENGTH))
            reader = csv.reader(file, delimiter=separator)
            for values in reader:
                if any(value.strip() for value in values):
                    row = dict.fromkeys(columns, "")
                    row.update({name: value.strip() for name, value in zip(columns, values, strict=False)})
                    yield {**row, "line": str(reader.line_num + 1)}
    except AnnotationError:
        raise
    except (OSError, ValueError, csv.Error) as error:  # ValueError: not UTF-8
        raise AnnotationError(f"{path} cannot be read: {shorten(error)}; save it as CSV in UTF-8") from error


def _separator(line: str) -> str:
    return max(",;\t", key=line.count)
