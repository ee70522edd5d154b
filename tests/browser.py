"""Pages in a real browser: chromium, headless, at two widths and in both colour schemes."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

WIDTHS, SCHEMES = (390, 1280), ("light", "dark")


@contextmanager
def browser() -> Iterator:
    """A browser, or a skipped test that says why."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    with api.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@contextmanager
def opened(browser, path: Path, *, width: int = 1280, scheme: str = "light", script: bool = True) -> Iterator:
    """A page, and a check at the end: no error, no request, and nothing wider than the window."""
    problems: list[str] = []
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=script
    )
    page = context.new_page()
    page.on("console", lambda said: problems.append(said.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda asked: asked.url.startswith("http") and problems.append(asked.url))
    page.goto(path.as_uri())
    yield page
    if script:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert problems == []
    context.close()


def all_alive(page) -> None:
    """Scroll through a page, until each chart answers to the mouse."""
    for figure in page.locator("figure.chart").all():
        figure.scroll_into_view_if_needed()
        figure.and_(page.locator("[data-live]")).wait_for()
