"""One line for each request: JSON, or the common log format.

What a client sent is written so that it can neither begin a line of its own nor move a terminal's
cursor; credentials are never written.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from airgap.content.storage import storage_errors
from airgap.server.exchange import PRINCIPAL

AccessFormat = Literal["json", "common"]

# in every locale
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MAX_TEXT = 2048
_WORDS = "token|password|passwd|secret|signature|credential"
_SECRET = re.compile(rf"(^|[?&;])([^=&;?]*(?:{_WORDS})[^=&;]*)=[^&;]*", re.IGNORECASE)
_PAUSE = 60.0

_log = logging.getLogger(__name__)


class AccessLog(AbstractAccessLogger):
    """Writes requests to a logger; aiohttp makes one for each connection."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Write one request."""
        line = common_line if self.log_format == "common" else json_line
        self.logger.info("%s", line(request, response, time, datetime.now(UTC)))


def json_line(
    request: web.BaseRequest, response: web.StreamResponse, seconds: float, now: datetime
) -> str:
    """A request as an object of JSON in ASCII."""
    fields = {
        "time": now.isoformat(timespec="milliseconds"),
        "remote": request.remote or "",
        "user": _user(request),
        "method": request.method[:32],
        "path": _target(request),
        "status": response.status,
        "bytes": _sent(request, response),
        "seconds": round(seconds, 6),
        "host": request.headers.get("Host", "")[:_MAX_TEXT],
        "agent": request.headers.get("User-Agent", "")[:_MAX_TEXT],
    }
    return json.dumps(fields, separators=(",", ":"))


def common_line(
    request: web.BaseRequest, response: web.StreamResponse, _seconds: float, now: datetime
) -> str:
    """A request in the common log format (Apache's mod_log_config), times in UTC."""
    when = f"{now.day:02}/{_MONTHS[now.month - 1]}/{now.year}:{now:%H:%M:%S} +0000"
    version = f"HTTP/{request.version.major}.{request.version.minor}"
    line = f"{escaped(request.method[:32])} {escaped(_target(request))} {version}"
    user = escaped(_user(request)).replace(" ", "\\x20") or "-"
    sent = _sent(request, response) or "-"
    return f'{request.remote or "-"} - {user} [{when}] "{line}" {response.status} {sent}'


def escaped(text: str) -> str:
    r"""Write quotes, backslashes and whatever is not printable ASCII as `\xhh`, as Apache does."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    raw = text.encode("utf-8", "surrogateescape")
    return "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\x{b:02x}" for b in raw)


def without_secrets(target: str) -> str:
    """A path with its query, without the values of parameters that sound like credentials."""
    path, mark, query = target.partition("?")
    hidden = _SECRET.sub(r"\1\2=***", query)
    return f"{path}?{hidden}" if mark else path


class AccessFile(logging.handlers.WatchedFileHandler):
    """A file of such lines, which is begun anew where somebody moved it away.

    Args:
        path: Where it lies.
        now: The clock.

    Raises:
        StorageError: It cannot be written.
    """

    def __init__(self, path: Path, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._complained = now() - _PAUSE
        with storage_errors(path):
            super().__init__(path, encoding="utf-8", errors="backslashreplace")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Go on: a request must not fail because it cannot be noted."""
        now = self._now()
        if now - self._complained >= _PAUSE:
            self._complained = now
            _log.warning("the access log %s cannot be written", self.baseFilename)


def access_logger(handler: logging.Handler) -> logging.Logger:
    """The logger that hands lines of requests to a handler and to nothing else."""
    logger = logging.getLogger("airgap.access")
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.INFO)
    return logger


def _user(request: web.BaseRequest) -> str:
    principal = request.get(PRINCIPAL)
    return principal.name if principal is not None else ""


def _target(request: web.BaseRequest) -> str:
    return without_secrets(request.path_qs)[:_MAX_TEXT]


def _sent(request: web.BaseRequest, response: web.StreamResponse) -> int:
    """How long the body was; what the system sends from a file does not pass through aiohttp."""
    if request.method == "HEAD":
        return 0
    return response.content_length or response.body_length
