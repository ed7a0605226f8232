"""Check of the calls of the page's actions: only values that the components of the page can have are forwarded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from ..boxes import is_finite_number
from ..limits import Limits
from ..storage import REFERENCE
from .routes import SESSION, RefusedError

_DEEPEST = 12  # levels of lists and objects in a call
_CANVAS_TEXTS, _CANVAS_NUMBERS = ("name", "error"), ("width", "height")
_LONGEST_CANVAS_TEXT = 5000


@dataclass(frozen=True)
class GuardedCall:
    """A checked call.

    Attributes:
        body: JSON text that Gradio receives.
        session: id of the tab.
        references: uploads that the call names.
    """

    body: bytes
    session: str
    references: tuple[str, ...]


def check_call(content: bytes, page: Any, limits: Limits) -> GuardedCall:
    """Check a call and write it anew, with known keys only.

    Args:
        content: body of the request.
        page: Gradio Blocks; the inputs of its actions state which values are possible.
        limits: limits of the pasted text.

    Raises:
        RefusedError: the call is not JSON, names no action of the page, or a value is impossible.
    """
    call = _parse(content)
    number, session, data = call.get("fn_index"), call.get("session_hash"), call.get("data")
    if not isinstance(session, str) or not SESSION.fullmatch(session):
        raise RefusedError(400, "the call names no session of the page")
    action = page.fns.get(number) if isinstance(number, int) and not isinstance(number, bool) else None
    if action is None or action.fn is None:
        raise RefusedError(400, "the page has no such action")
    if not isinstance(data, list) or len(data) != len(action.inputs):
        raise RefusedError(400, f"the action takes a list of {len(action.inputs)} values")
    values = [_check_value(part, value, limits) for part, value in zip(action.inputs, data, strict=True)]
    files = [value["file"]["path"] for value in values if isinstance(value, dict) and value["file"] is not None]
    trigger = call.get("trigger_id")
    kept = {
        "data": values,
        "fn_index": number,
        "session_hash": session,
        "event_data": None,
        "trigger_id": trigger if isinstance(trigger, int) else None,
    }
    return GuardedCall(json.dumps(kept).encode(), session, tuple(files))


def _parse(content: bytes) -> dict[str, Any]:
    try:
        call = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, "the call is not JSON") from error
    if not isinstance(call, dict):
        raise RefusedError(400, "the call is not a JSON object")
    level: list[Any] = [call]
    for _ in range(_DEEPEST):
        level = [part for value in level if isinstance(value, (dict, list)) for part in _children(value)]
        if not level:
            return call
    raise RefusedError(400, "the call is nested too deeply")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _children(value: dict[str, Any] | list[Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


def _check_value(part: Any, value: Any, limits: Limits) -> Any:
    """Check the value of a component by the kind of the component."""
    kind = part.get_block_name()
    if kind == "state":
        if value is not None:
            raise RefusedError(400, "the state of the page is kept on the server and cannot be sent")
        return None
    if kind == "slider":
        if not is_finite_number(value) or not part.minimum <= value <= part.maximum:
            raise RefusedError(
                400, f"the value of '{part.label}' must be a number from {part.minimum} to {part.maximum}"
            )
        return value
    if kind == "radio":
        choices = [choice for _, choice in part.choices]
        if not isinstance(value, str) or value not in choices:
            raise RefusedError(400, f"the view must be one of {', '.join(map(str, choices))}")
        return value
    if kind == "textbox":
        if not isinstance(value, str):
            raise RefusedError(400, "the boxes must be a text")
        if len(value) > limits.text:
            raise RefusedError(400, f"the text has {len(value):,} characters, at most {limits.text:,} are accepted")
        return value
    if kind == "html":
        return _check_canvas(value)
    raise RefusedError(400, f"a value of {kind} cannot be sent")


def _check_canvas(value: Any) -> dict[str, Any]:
    """Return the value of the image component with its known keys; a file is named by its reference alone."""
    if not isinstance(value, Mapping):
        raise RefusedError(400, "the image must be an object as the page sends it")
    boxes = value.get("boxes") or []
    if not isinstance(boxes, list):
        raise RefusedError(400, "the boxes of the image must be a list")
    texts = {key: str(value.get(key) or "")[:_LONGEST_CANVAS_TEXT] for key in _CANVAS_TEXTS}
    numbers = {key: value[key] if is_finite_number(value.get(key)) else 0 for key in _CANVAS_NUMBERS}
    return {"file": _check_file(value.get("file")), **texts, **numbers, "boxes": boxes}


def _check_file(file: Any) -> dict[str, str] | None:
    if file is None:
        return None
    reference = file.get("path") if isinstance(file, Mapping) else None
    if not isinstance(reference, str) or not REFERENCE.fullmatch(reference):
        raise RefusedError(400, "the image was not uploaded by this page: upload it again")
    return {"path": reference}
