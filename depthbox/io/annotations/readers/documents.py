"""Text and XML files of limited size, read with errors that name the file and the remedy."""

from __future__ import annotations

import codecs
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from xml.etree.ElementTree import Element

from ...untrusted.xml_files import XmlFileError, parse_xml
from ..records import AnnotationError
from .rules import shorten

Item = TypeVar("Item")
MEGABYTE = 2**20
LABEL_LIMIT = 16 * MEGABYTE
XML_LIMIT = 512 * MEGABYTE
# Magnitude of a coordinate in pixels; larger numbers are errors, and their products could overflow.
COORDINATE_LIMIT = 1e7
_PROGRESS_FROM = 2000
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_bytes(path: Path, limit: int = XML_LIMIT) -> bytes:
    """Return the content of a regular file.

    Raises:
        AnnotationError: the file does not exist, is larger than ``limit`` bytes or cannot be read.
    """
    try:
        if not path.is_file():
            raise AnnotationError(f"{path} does not exist; correct the path")
        size = os.path.getsize(path)
        if size > limit:
            raise AnnotationError(
                f"{path} has {size // MEGABYTE} MB, more than the {limit // MEGABYTE} MB of an annotation file;"
                " split it, or export the annotations again"
            )
        return path.read_bytes()
    except OSError as error:
        raise AnnotationError(f"{path} cannot be read: {error.strerror or error}; correct its permissions") from error


def read_text(path: Path, limit: int = LABEL_LIMIT) -> str:
    """Return the content of a text file in UTF-8, or in UTF-16 with a byte order mark.

    Raises:
        AnnotationError: the file cannot be read, or is not a text.
    """
    data = read_bytes(path, limit)
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path} is not a text in UTF-8; save it with this encoding") from error
    if "\0" in text:
        raise AnnotationError(f"{path} is not a text file; export the annotations again")
    return text


def read_xml(path: Path, limit: int = XML_LIMIT) -> Element:
    """Return the root of an XML file; a DOCTYPE, and so entities, are refused.

    Raises:
        AnnotationError: the file cannot be read, is not well-formed, is nested too deeply or has a DOCTYPE.
    """
    try:
        return parse_xml(read_bytes(path, limit))
    except XmlFileError as error:
        raise AnnotationError(f"{path} {shorten(error, 200)}") from error


def xml_text(element: Element, tag: str) -> str:
    """Return the stripped text of a direct child; "" if there is none."""
    return (element.findtext(tag) or "").strip()


def parse_number(value: Any, limit: float = COORDINATE_LIMIT) -> float | None:
    """Return a finite number from a text or a JSON value; None if it is not one, or larger than ``limit``."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, str) and (len(value) > 64 or "_" in value):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and abs(number) <= limit else None


def parse_numbers(values: Iterable[Any], limit: float = COORDINATE_LIMIT) -> list[float] | None:
    """Return finite numbers; None if one of the values is not a number."""
    numbers = [parse_number(value, limit) for value in values]
    return None if None in numbers else [number for number in numbers if number is not None]


def parse_points(value: Any) -> list[tuple[float, float]] | None:
    """Return the points of a JSON list of pairs; None if it is not one."""
    if not isinstance(value, list):
        return None
    points = []
    for pair in value:
        numbers = parse_numbers(pair) if isinstance(pair, list) and len(pair) == 2 else None
        if numbers is None:
            return None
        points.append((numbers[0], numbers[1]))
    return points


def track(items: Sequence[Item], title: str, progress: bool) -> Iterable[Item]:
    """Iterate with a progress bar on stderr if there are thousands of items."""
    if not progress or len(items) <= _PROGRESS_FROM:
        return items
    from tqdm import tqdm

    bar: Iterable[Item] = tqdm(items, desc=title)
    return bar
