"""A real browser for tests of pages: found on the machine, never fetched."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

VARIABLE = "DEPTHBOX_BROWSER"
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
DESKTOP, PHONE = 1280, 390
"""Widths in CSS pixels that every page must be readable at."""


def find_browser() -> str | None:
    """Program of a Chromium: the one that DEPTHBOX_BROWSER names, or the first of NAMES on the path; None without."""
    return os.environ.get(VARIABLE) or next(filter(None, map(shutil.which, NAMES)), None)


def needs_browser() -> str:
    """Program of a Chromium; skips the test, saying what to install, where there is none."""
    pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    program = find_browser()
    if program is None:
        pytest.skip(f"needs a Chromium: install one (apt-get install chromium), or name it in {VARIABLE}")
    return program


@contextmanager
def open_browser() -> "Iterator[Browser]":
    """A browser, closed at the end; skips the test where there is none. Only one may be open at a time."""
    program = needs_browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def new_page(browser: "Browser", width: int = DESKTOP, dark: bool = False) -> "Page":
    """An empty page of that width in CSS pixels; under 600 it is a phone: touch, two dots a pixel, mobile layout."""
    phone = width < 600
    return browser.new_page(
        viewport={"width": width, "height": 844 if phone else 800},
        device_scale_factor=2 if phone else 1,
        is_mobile=phone,
        has_touch=phone,
        color_scheme="dark" if dark else "light",
    )


@contextmanager
def open_page(width: int = DESKTOP, dark: bool = False) -> "Iterator[Page]":
    """A page of ``new_page`` in a browser of its own."""
    with open_browser() as browser:
        yield new_page(browser, width, dark)
