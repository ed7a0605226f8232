"""Reading a COCO json that may be anything, with no more of it in memory than the check needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .findings import Example, Findings, one_line, shown
from .segmentation import inspect_segmentation

LISTS = ("images", "annotations", "categories")
_IMAGE_KEYS = ("id", "file_name", "height", "width")
_ANNOTATION_KEYS = ("id", "image_id", "category_id", "bbox", "iscrowd", "ignore")

Entry = dict[str, Any]


def read_coco(path: Path, findings: Findings) -> dict[str, list[Entry]] | None:
    """Read the three lists of a COCO json.

    Of an annotation, ``segmentation`` is replaced by what ``inspect_segmentation`` says of it as soon as it is parsed:
    the outlines are most of a json.

    Args:
        path: the json file.
        findings: takes in what is wrong with the file.

    Returns:
        ``images``, ``annotations`` and ``categories``, each a list of dicts, or None where there is nothing to go on
        with; then ``findings`` say why.

    Raises:
        OSError: the file is missing or may not be read.
    """
    text = _read_text(path, findings)
    if text is None:
        return None
    try:
        content = json.loads(text, object_hook=_compact)
    except json.JSONDecodeError as error:
        _unreadable(findings, f"{error.msg} in line {error.lineno}, column {error.colno}{_cause(text, error)}")
        return None
    except (ValueError, RecursionError) as error:
        _unreadable(findings, "it is nested too deeply" if isinstance(error, RecursionError) else one_line(error))
        return None
    problems = _structure(content)
    for problem in problems:
        findings.add("json_not_coco", Example(problem))
    return None if problems else {key: _entries(content[key], key, findings) for key in LISTS}


def _read_text(path: Path, findings: Findings) -> str | None:
    data = path.read_bytes()
    magic = {b"\x1f\x8b": "gzip", b"PK": "zip", b"\x89P": "PNG image", b"\xff\xd8": "JPEG image"}
    utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in data[:4]
    problem = ""
    if not data.strip():
        problem = "the file is empty"
    elif data[:2] in magic:
        problem = f"this is a {magic[data[:2]]} file, not json text"
    elif utf16 or data.startswith(b"\xef\xbb\xbf"):
        problem = f"it is {'UTF-16 or UTF-32' if utf16 else 'UTF-8 with a byte order mark'}, not plain UTF-8"
    else:
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            problem = f"byte {error.start} is not UTF-8"
    _unreadable(findings, problem)
    return None


def _cause(text: str, error: json.JSONDecodeError) -> str:
    if text.lstrip()[:1] == "<":
        return ": this is XML or HTML, not json"
    if error.msg.startswith("Extra data") and text[error.pos :].lstrip()[:1] == "{":
        return ": several objects one after the other (json lines?), a COCO file is one object"
    if error.pos >= len(text.rstrip()) - 1 or error.msg.startswith("Unterminated string"):
        return ": the file ends too early, it was cut off when written or copied"
    return ""


def _compact(value: Entry) -> Entry:
    """Called for each object of the json, innermost first: cut images and annotations down to what is checked."""
    if not value.keys().isdisjoint(LISTS):
        return value
    if "image_id" in value or "segmentation" in value:
        small = {key: value[key] for key in _ANNOTATION_KEYS if key in value}
        segmentation = inspect_segmentation(value.get("segmentation"))
        if segmentation is not None:
            small["segmentation"] = segmentation
        return small
    if "file_name" in value:
        return {key: value[key] for key in _IMAGE_KEYS if key in value}
    return value


def _structure(content: Any) -> list[str]:
    """What keeps the content from being a COCO instances file."""
    if isinstance(content, list):
        like = isinstance(content[0], dict) and "image_id" in content[0] if content else False
        guess = "; these are detections (COCO results), not annotations" if like else ""
        return [f"it holds a list, a COCO file is an object with {', '.join(LISTS)}{guess}"]
    if not isinstance(content, dict):
        return [f"it holds {shown(content)}, a COCO file is an object with {', '.join(LISTS)}"]
    has = ", ".join(one_line(key) for key in list(content)[:8]) or "none"
    problems = [f"the key '{key}' is missing; its keys are: {has}" for key in LISTS if key not in content]
    if len(problems) == len(LISTS):
        if "shapes" in content:
            problems[0] += " (a file of LabelMe: convert it)"
        elif any(isinstance(value, dict) and "regions" in value for value in content.values()):
            problems[0] += " (a file of VGG Image Annotator: convert it)"
    for key in LISTS:
        if key in content and not isinstance(content[key], list):
            problems.append(f"'{key}' is {shown(content[key])}, not a list")
    return problems


def _entries(values: list[Any], key: str, findings: Findings) -> list[Entry]:
    """The objects among a list's entries; the list is not needed afterwards."""
    if not values:
        findings.add(f"no_{key}", Example(f"'{key}' is []"))
    for place, value in enumerate(values):
        if not isinstance(value, dict):
            findings.add("json_entry_malformed", Example(f"{key}[{place}] is {shown(value)}"))
    return [value for value in values if isinstance(value, dict)]


def _unreadable(findings: Findings, detail: str) -> None:
    findings.add("json_unreadable", Example(detail))
