"""Browser for tests of HTML pages: an installed Chromium, never downloaded."""

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
"""Widths in CSS pixels at which every page must be readable."""


def find_browser() -> str | None:
    """Return the path of a Chromium: DEPTHBOX_BROWSER, else the first of NAMES on the search path, else None."""
    return os.environ.get(VARIABLE) or next(filter(None, map(shutil.which, NAMES)), None)


def needs_browser() -> str:
    """Return the path of a Chromium, or skip the test with the name of the package to install."""
    pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    program = find_browser()
    if program is None:
        pytest.skip(f"needs a Chromium: install one (apt-get install chromium), or name it in {VARIABLE}")
    return program


@contextmanager
def open_browser() -> "Iterator[Browser]":
    """Open a browser and close it at the end, or skip the test without one. Only one may be open at a time."""
    program = needs_browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def new_page(browser: "Browser", width: int = DESKTOP, dark: bool = False) -> "Page":
    """Open an empty page of a width in CSS pixels; below 600 as a phone: touch, two dots per pixel, mobile layout."""
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
    """Open an empty page in its own browser, see ``new_page``."""
    with open_browser() as browser:
        yield new_page(browser, width, dark)
