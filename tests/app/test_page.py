"""The page in a browser: upload, detection, drawn boxes, masks and the downloaded JSON file."""

from pathlib import Path

import numpy as np
import pytest

from .conftest import DESKTOP, PHONE, Tab

pytest.importorskip("gradio", reason="pip install 'depthbox[app]'")


@pytest.mark.parametrize("tab", [DESKTOP, PHONE], indirect=True, ids=["desktop", "phone"])
def test_from_image_to_json(tab: Tab, photo: Path, tmp_path: Path) -> None:
    assert tab.fits() and tab.page.is_disabled("#download")
    tab.give(photo)
    tab.page.click("#find")
    tab.page.wait_for_selector("#view th:has-text('Score')")
    assert tab.page.locator("#view tbody tr").count() == 5 and tab.fits()
    assert len(tab.download(tmp_path).anns) == 5

    tab.drag((30, 20, 60, 61), (96, 128))
    tab.drag((100, 10, 20, 20), (96, 128))
    assert tab.page.locator(".db-list li").count() == 2
    tab.page.click("text=Undo")
    tab.page.select_option(".db-class", "cup")
    tab.drag((90, 60, 30, 30), (96, 128))
    tab.page.click("#mask")
    tab.page.wait_for_selector("#view th:has-text('Quality')")
    assert tab.fits()
    coco = tab.download(tmp_path)
    first, second = coco.loadAnns([1, 2])
    assert coco.imgs[1] == {"id": 1, "file_name": "my photo.png", "height": 96, "width": 128}
    np.testing.assert_allclose(first["bbox"], (30, 20, 60, 61), atol=1)
    np.testing.assert_allclose(second["bbox"], (90, 60, 30, 30), atol=1)
    assert [coco.cats[row["category_id"]]["name"] for row in (first, second)] == ["cat", "cup"]
    for row in (first, second):
        rows, columns = np.nonzero(coco.annToMask(row))
        x, y, width, height = row["bbox"]
        assert len(rows) == row["area"] > 0 and 0 < row["score"] <= 1
        assert x - 1 <= columns.min() and columns.max() <= x + width
        assert y - 1 <= rows.min() and rows.max() <= y + height


def test_pasted_boxes_and_their_mistakes(tab: Tab, photo: Path) -> None:
    tab.give(photo)
    tab.page.click("text=Paste boxes")
    tab.page.fill("#text textarea", "10 20 30 40 dog\n5 50 20")
    tab.page.click("#add")
    tab.page.wait_for_selector(".db-error:has-text(\"Line 2: '5 50 20' is not a box\")")
    assert tab.page.locator(".db-list li").count() == 0
    tab.page.fill("#text textarea", "10 20 30 40 dog\n[100, 80, 90, 90]")
    tab.page.click("#add")
    tab.page.wait_for_selector(".db-list li:nth-child(2)")
    assert tab.page.locator(".db-list li span:nth-child(2)").all_inner_texts() == [
        "dog · 30 × 40 at 10, 20",
        "cat · 28 × 16 at 100, 80",  # clipped to the image
    ]
    assert tab.page.input_value("#text textarea") == "" and tab.page.locator(".db-error").count() == 0
    tab.page.click("[aria-label='remove box 1']")
    assert tab.page.locator(".db-layer rect").count() == 1
    tab.page.click("text=Remove all")
    tab.page.click("#mask")
    tab.page.wait_for_selector("#view:has-text('There are no boxes yet')")


def test_states_without_a_result(tab: Tab, photo: Path, tmp_path: Path) -> None:
    tab.page.click("#find")
    tab.page.wait_for_selector("#view:has-text('Upload an image first')")
    broken = tmp_path / "broken.png"
    broken.write_bytes(photo.read_bytes()[:200])
    tab.page.set_input_files(".db-input", str(broken))
    tab.page.wait_for_selector(".db-error:has-text('broken.png is')")
    assert tab.page.is_visible(".db-choose")
    tab.give(photo)
    tab.page.click("#find")
    tab.page.wait_for_selector("#view tbody tr")
    tab.page.get_by_label("Depth").check()
    tab.page.wait_for_selector("#view .db-scale")
    tab.page.fill("#least input[type=number]", "1")
    tab.page.keyboard.press("Tab")
    tab.page.click("#find")
    tab.page.wait_for_selector("#view:has-text('No object has a score of 1.00 or more')")
    assert tab.page.is_disabled("#download") and tab.fits()


def test_a_drag_beyond_the_image_ends_at_its_border_and_a_click_is_not_a_box(tab: Tab, photo: Path) -> None:
    tab.give(photo)
    tab.drag((100, 70, 200, 10), (96, 128))
    tab.drag((50, 50, 0.2, 0.2), (96, 128))
    assert tab.page.locator(".db-list li span:nth-child(2)").all_inner_texts() == ["cat · 28 × 10 at 100, 70"]


@pytest.mark.parametrize("tab", [PHONE], indirect=True, ids=["phone"])
def test_a_box_is_drawn_with_a_finger(tab: Tab, photo: Path) -> None:
    tab.give(photo)
    area = tab.page.locator(".db-layer").bounding_box()
    device = tab.page.context.new_cdp_session(tab.page)
    for kind, share in (("touchStart", 0.25), ("touchMove", 0.5), ("touchMove", 0.75), ("touchEnd", None)):
        point = {"x": area["x"] + (share or 0) * area["width"], "y": area["y"] + (share or 0) * area["height"]}
        touches = [] if share is None else [point]
        device.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})
    tab.page.wait_for_selector(".db-list li:has-text('cat · 64 × 48 at 32, 24')")
    assert tab.page.evaluate("scrollY") == 0  # drawing does not scroll the page


def test_an_image_is_dropped(tab: Tab, photo: Path) -> None:
    import base64

    data = base64.b64encode(photo.read_bytes()).decode()
    transfer = tab.page.evaluate_handle(
        """(data) => { const transfer = new DataTransfer();
            const bytes = Uint8Array.from(atob(data), (sign) => sign.charCodeAt(0));
            transfer.items.add(new File([bytes], 'dropped.png', { type: 'image/png' })); return transfer; }""",
        data,
    )
    tab.page.dispatch_event(".db-drop", "drop", {"dataTransfer": transfer})
    tab.page.wait_for_selector(".db-stage:not([hidden])")
    ratio = tab.page.evaluate("(() => { const a = document.querySelector('.db-image'); return a.width / a.height; })()")
    assert ratio == pytest.approx(128 / 96, abs=0.01)
