"""The page in a real browser: Playwright's Chromium, or the one the system has."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


@contextmanager
def chromium() -> Iterator[Any]:
    """A headless browser; the test is skipped where there is none."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="the page is tested with Playwright: pip install playwright"
    )
    with playwright.sync_playwright() as tools:
        bundled = Path(tools.chromium.executable_path)
        found = None if bundled.exists() else next(filter(None, map(shutil.which, NAMES)), None)
        if found is None and not bundled.exists():
            pytest.skip("no browser: install Chromium, or run 'playwright install chromium'")
        # A GPU made of software is slower than none; Chromium's sandbox does not start as root.
        options = ["--disable-gpu", *(["--no-sandbox"] if ROOT else [])]
        browser = tools.chromium.launch(executable_path=found, args=options)
        try:
            yield browser
        finally:
            browser.close()
