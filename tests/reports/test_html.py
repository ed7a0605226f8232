"""Shared HTML of the pages: escaping, the security policy, and embedded images."""

import base64
import html
import io
import re

import numpy as np
import pytest
from PIL import Image

from depthbox.reports.html import STYLE, escape, make_document, make_image_tag


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<b>cat</b>", "&lt;b&gt;cat&lt;/b&gt;"),
        ("salt & pepper", "salt &amp; pepper"),
        ('a "quoted" name', "a &quot;quoted&quot; name"),
        ("it's", "it&#x27;s"),
        ("&lt;", "&amp;lt;"),
        ("café, 猫", "café, 猫"),
        ("", ""),
    ],
)
def test_markup_is_escaped_and_other_text_is_kept(text: str, expected: str) -> None:
    assert escape(text) == expected
    assert html.unescape(escape(text)) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a\nb", r"a\nb"), ("a\tb", r"a\tb"), ("\x00", r"\x00"), ("a\u202eb", r"a\u202eb"), ("\udcff.png", r"\udcff.png")],
)
def test_control_characters_and_broken_unicode_become_visible(text: str, expected: str) -> None:
    assert escape(text) == expected
    assert escape(text).isprintable()
    escape(text).encode("utf-8")


def test_the_document_forbids_all_external_resources() -> None:
    page = make_document("a < b", "<p>body</p>", ".own { color: red; }")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules == {"default-src": "'none'", "img-src": "data:", "style-src": "'unsafe-inline'"}


def test_the_title_is_text_and_the_body_is_html() -> None:
    page = make_document("a < b", "<p>body</p>", ".own { color: red; }")
    assert "<title>a &lt; b</title>" in page and "<body>\n<p>body</p>\n</body>" in page
    assert page.startswith("<!DOCTYPE html>\n") and page.endswith("</html>\n")
    assert page.count("<style>") == 1 and page.index(".own { color: red; }") > page.index(STYLE[:40])
    assert ".own" not in make_document("a", "b")


def test_each_color_of_the_light_page_has_a_dark_counterpart() -> None:
    light, dark = (set(re.findall(r"(--\w+):", part)) for part in STYLE.split("@media (prefers-color-scheme: dark)"))
    assert "--ink" in light and light <= dark
    used = set(re.findall(r"var\((--\w+)\)", STYLE))
    assert used <= light, "each variable that is used is defined"


def test_an_image_is_embedded_with_its_size_and_its_pixels() -> None:
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:, :15] = (200, 30, 60)
    tag = make_image_tag(Image.fromarray(pixels), 'a "b" <c>')
    assert 'width="30" height="20"' in tag and tag.endswith('alt="a &quot;b&quot; &lt;c&gt;">')
    (data,) = re.findall(r'src="data:image/jpeg;base64,([A-Za-z0-9+/=]+)"', tag)
    found = np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).astype(int)
    assert found.shape == (20, 30, 3)
    assert np.abs(found[:, :12] - (200, 30, 60)).max() < 12 and found[:, 18:].max() < 12
