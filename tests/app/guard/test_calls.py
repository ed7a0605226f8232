"""Calls of the page's actions: what is forwarded, and what is refused."""

import json
from typing import Any

import pytest

from depthbox.app.actions import Actions
from depthbox.app.guard.calls import check_call
from depthbox.app.guard.routes import RefusedError
from depthbox.app.limits import Limits
from depthbox.app.network import TrialNetwork
from depthbox.app.page import build_page
from depthbox.app.storage import DownloadStore, UploadStore

pytest.importorskip("gradio", reason="pip install 'depthbox[app]'")
REFERENCE = f"depthbox_app_{'0f' * 16}"
CANVAS = {"file": {"path": REFERENCE}, "name": "a", "width": 9, "height": 8, "boxes": [], "error": ""}
TAKE, ADD, DETECT, MASK, SCROLL = range(5)


@pytest.fixture(scope="module")
def page(network: TrialNetwork, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return build_page(Actions(network, UploadStore(tmp_path_factory.mktemp("uploads")), DownloadStore()))


def call(data: Any, number: Any = TAKE, session: Any = "a1", **more: Any) -> bytes:
    return json.dumps({"data": data, "fn_index": number, "session_hash": session, **more}).encode()


def test_a_call_is_written_anew_with_known_keys(page: Any) -> None:
    file = {"path": REFERENCE, "url": "http://x", "orig_name": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
    checked = check_call(
        call([{**CANVAS, "file": file, "x": 1}], event_data={"a": 1}, trigger_id=6, z=5), page, Limits()
    )
    assert json.loads(checked.body) == {
        "data": [CANVAS], "fn_index": TAKE, "session_hash": "a1", "event_data": None, "trigger_id": 6
    }  # fmt: skip
    assert checked.session == "a1" and checked.references == (REFERENCE,)
    assert check_call(call([None, 0.5, "Depth"], DETECT), page, Limits()).references == ()
    boxes = [{"box": [1, 2, 3, 4], "label": "cat"}]
    kept = check_call(call([None, {"boxes": boxes}, 0, "Masks"], MASK), page, Limits())
    assert json.loads(kept.body)["data"][1] == {
        **CANVAS,
        "file": None,
        "name": "",
        "width": 0,
        "height": 0,
        "boxes": boxes,
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b"[" * 100_000, "not JSON"),
        (b'{"data": [NaN], "fn_index": 0, "session_hash": "a"}', "not JSON"),
        (b'{"data": [' + b"1" * 5000 + b"]}", "not JSON"),
        (call([[[[[[[[[[[[[1]]]]]]]]]]]]]), "nested too deeply"),
        (call([CANVAS], session=None), "names no session"),
        (call([CANVAS], session="../a"), "names no session"),
        (call([CANVAS], session="a" * 65), "names no session"),
        *((call([], number), "no such action") for number in (99, -1, None, "0", True, [0], 1.5, SCROLL)),
        *((call(data), "takes a list of 1 values") for data in ([], [CANVAS, None], {}, None, "x")),
        *((call([value]), "must be an object") for value in (None, 5, "x", [])),
        (call([{"boxes": "x"}]), "boxes of the image must be a list"),
        *(
            (call([{"file": {"path": path, "meta": {"_type": "gradio.FileData"}}}]), "not uploaded by this page")
            for path in ("/etc/passwd", "/proc/self/environ", "a.png", 5, None, "a\0b", "http://x/y", f"/{REFERENCE}")
        ),
        *((call([{"file": file}]), "not uploaded by this page") for file in (5, [], "x", {})),
        (call([{"path": "/etc/passwd", "name": "x"}, 0.1, "Masks"], DETECT), "kept on the server"),
        *(
            (call([None, value, "Masks"], DETECT), "must be a number from 0 to 1")
            for value in ("x", None, -5, 1e308, [1], True, 10**400)
        ),
        *((call([None, 0.5, view], DETECT), "must be one of Masks, Depth") for view in ("../x", None, ["Masks"], 1)),
        (call([5, CANVAS, None], ADD), "must be a text"),
        (call(["x" * 1_000_001, CANVAS, None], ADD), "1,000,001 characters, at most 1,000,000"),
    ],
)
def test_other_calls_are_refused(page: Any, content: bytes, message: str) -> None:
    with pytest.raises(RefusedError, match=message) as refused:
        check_call(content, page, Limits())
    assert refused.value.status == 400 and "\n" not in refused.value.text and len(refused.value.text) < 200


def test_numbers_and_texts_of_the_image_are_bounded(page: Any) -> None:
    value = {**CANVAS, "width": "x", "height": 10**400, "name": "n" * 9999, "error": None}
    kept = json.loads(check_call(call([value]), page, Limits()).body)["data"][0]
    assert (kept["width"], kept["height"], len(kept["name"]), kept["error"]) == (0, 0, 5000, "")
