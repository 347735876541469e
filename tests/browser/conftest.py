"""A real Chromium, driven by Playwright: started once, with a context of its own for each test.

Playwright's own download of a browser is not used: Debian's package `chromium` is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.compat import software
from tests.support.pages import PageServer, serve_pages

ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SECONDS = 20


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser."""
    program = software.find("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        software.lacking("playwright is not installed; `pip install -e '.[dev]'` does that")
        raise
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture
def new_page(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Makes pages that fail the test when a script fails, or asks another machine for anything."""
    contexts: list[Any] = []
    problems: list[str] = []

    def make(**options: Any) -> Any:
        context = chromium.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(SECONDS * 1000)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(f"script: {error}"))
        page.on(
            "console",
            lambda message: (
                problems.append(message.text)
                if message.type == "error" and "Content Security Policy" in message.text
                else None
            ),
        )
        page.on(
            "request",
            lambda request: (
                problems.append(f"left: {request.url}")
                if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:"))
                else None
            ),
        )
        return page

    yield make
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def server() -> Iterator[PageServer]:
    """A registry that everyone may use."""
    with serve_pages() as served:
        yield served
