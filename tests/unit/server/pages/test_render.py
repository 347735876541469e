"""Text on pages, and what stands around it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from importlib import resources
from pathlib import Path

import pytest

from airgap.oci.digest import Digest
from airgap.server.pages import render

STATIC = resources.files("airgap.server.pages").joinpath("static")
TEMPLATES = resources.files("airgap.server.pages").joinpath("templates")


def test_times_are_shown_to_the_minute():
    """A time is shown in UTC, a text that is none as it is."""
    east = datetime(2026, 1, 2, 5, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    assert render.when_label(east) == "2026-01-02 03:04 UTC"
    assert render.when_label(datetime(2026, 1, 2, 3, 4, tzinfo=UTC)) == "2026-01-02 03:04 UTC"
    assert render.when_label("2026-01-02T03:04:05.123Z") == "2026-01-02 03:04"
    assert render.when_label("yesterday") == "yesterday"
    assert render.when_label(None) == render.UNKNOWN


def test_a_step_is_shown_without_what_builders_add():
    """The shell that every old builder puts before a command is left out."""
    assert render.step_label("/bin/sh -c #(nop)  CMD [a]") == "CMD [a]"
    assert render.step_label("RUN  a \t b") == "RUN a b"


def test_the_path_of_an_image_is_one():
    """A name becomes a path that leads back to it."""
    digest = Digest.of(b"x")
    assert render.image_path("a/b") == "/r/a/b"
    assert render.image_path("a/b", "1.0") == "/r/a/b:1.0"
    assert render.image_path("a/b", digest) == f"/r/a/b@{digest}"


def test_text_that_would_turn_what_is_around_it_is_shown_as_escapes():
    """Bidirectional controls and markup of others are text."""
    html = render.render(
        "error.html",
        {
            "title": "a\u202eb<script>",
            "message": "<b>&",
            "user": "",
            "can_sign_in": False,
            "can_bring": False,
            "form_token": "",
            "here": "/",
            "registry": "",
            "query": '"><img src=x onerror=alert(1)>',
        },
    )
    assert "\u202e" not in html
    assert "a\\u202eb&lt;script&gt;" in html
    assert "&lt;b&gt;&amp;" in html
    assert "<img" not in html


@pytest.mark.parametrize("path", sorted(TEMPLATES.iterdir(), key=str), ids=lambda path: path.name)
def test_a_template_needs_nothing_inline_and_nothing_from_elsewhere(
    path: Path,
):
    """No template has a script, style or handler of its own, or names another host."""
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle\s*=|\son[a-z]+\s*=|javascript:", text, re.IGNORECASE)
    assert not re.search(r"<script(?![^>]*\ssrc=)", text)
    assert not re.search(r"(src|href|action)\s*=\s*\"(https?:)?//", text)
    assert "|safe" not in text.replace(" ", "")
    assert "autoescape" not in text


@pytest.mark.parametrize("path", sorted(STATIC.iterdir(), key=str), ids=lambda path: path.name)
def test_a_static_file_asks_nothing_of_another_host(path: Path):
    """No style sheet or script loads anything, or writes markup."""
    text = path.read_text(encoding="utf-8")
    text = text.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(
        r"https?://|@import|url\(|innerHTML|outerHTML|document\.write|eval\(", text
    )
    assert path.name in render.STATIC_TYPES


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(first: str, second: str) -> float:
    bright, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_can_be_told_from_its_ground(scheme: int):
    """Text has a contrast of at least 4.5 to 1 in both schemes (WCAG 2.2, 1.4.3)."""
    css = STATIC.joinpath("page.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", blocks[scheme]))
    for ground in ("ground", "surface", "sunken"):
        for text in ("text", "soft", "accent"):
            assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
        assert _contrast(colours["focus"], colours[ground]) >= 3
    assert _contrast(colours["accent-text"], colours["accent"]) >= 4.5
    assert _contrast(colours["bad"], colours["bad-ground"]) >= 4.5
    assert _contrast(colours["good"], colours["ground"]) >= 4.5
