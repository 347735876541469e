"""Turning templates into answers: every text escaped, every answer fenced in by its headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import quote

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from airgap.oci.digest import Digest
from airgap.wording import count_text, size_text, visible

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
STATIC_TYPES = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_TIME = re.compile(r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2})")
UNKNOWN = "\N{EN DASH}"
"""What stands where nobody knows."""
_PREFIX = "/bin/sh -c "
_NOP = "#(nop) "


@cache
def static_file(name: str) -> tuple[bytes, Digest]:
    """The bytes of a file that pages need, and their digest."""
    raw = resources.files(__package__).joinpath("static", name).read_bytes()
    return raw, Digest.of(raw)


def static_url(name: str) -> str:
    """Where a page finds such a file; another content has another url."""
    return f"/-/static/{name}?v={static_file(name)[1].hex[:12]}"


def image_path(repository: str, reference: str | Digest = "") -> str:
    """The page of a repository, or of what a tag or digest names in it."""
    text = str(reference)
    separator = "" if not text else "@" if ":" in text else ":"
    return "/r/" + quote(f"{repository}{separator}{text}", safe="/:@")


def size_label(size: int | None) -> str:
    """A number of bytes for people."""
    return UNKNOWN if size is None else size_text(size)


def when_label(value: datetime | str | None) -> str:
    """A time for people, to the minute; a text that is no time as it is."""
    if value is None:
        return UNKNOWN
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    found = _TIME.match(value)
    return f"{found[1]} {found[2]}" if found else value


def step_label(command: str) -> str:
    """What made a layer, without what builders put before every command."""
    shown = command.removeprefix(_PREFIX).removeprefix(_NOP)
    return " ".join(shown.split())


def render(name: str, values: Mapping[str, Any]) -> str:
    """Make a page of a template."""
    return _environment().get_template(name).render(values)


def page_answer(
    name: str, values: Mapping[str, Any], *, status: int = 200, is_head: bool = False
) -> web.Response:
    """Answer with a page."""
    body = render(name, values)
    response = web.Response(
        status=status, text="" if is_head else body, content_type="text/html", charset="utf-8"
    )
    fence(response)
    response.headers["Cache-Control"] = "no-store"
    return response


def fence(response: web.StreamResponse) -> None:
    """Say what browsers must not do with an answer."""
    response.headers.update(HEADERS)


def static_answer(request: web.Request, name: str) -> web.Response | None:
    """Answer with a file that pages need; None where there is none of that name."""
    if name not in STATIC_TYPES:
        return None
    raw, digest = static_file(name)
    tag = f'"{digest.hex[:32]}"'
    is_known = tag in request.headers.get("If-None-Match", "")
    response = web.Response(status=304) if is_known else web.Response(body=raw)
    if not is_known:
        response.headers["Content-Type"] = f"{STATIC_TYPES[name]}; charset=utf-8"
    fence(response)
    response.headers["ETag"] = tag
    is_pinned = request.query.get("v") == digest.hex[:12]
    response.headers["Cache-Control"] = (
        "public, max-age=31536000, immutable" if is_pinned else "no-cache"
    )
    return response


def _shown(value: object) -> object:
    """Show what would turn or hide text instead of obeying it (bidirectional controls)."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("airgap.server.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        finalize=_shown,
    )
    environment.filters.update(size=size_label, when=when_label, step=step_label, count=_count)
    environment.globals.update(static_url=static_url, image_path=image_path)
    return environment


def _count(number: int, noun: str, plural: str | None = None) -> str:
    return count_text(number, noun, plural)
