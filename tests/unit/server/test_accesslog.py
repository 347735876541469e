"""Lines of requests: what stands in them, and what cannot get into them."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from airgap.errors import StorageError
from airgap.server.access import Principal
from airgap.server.accesslog import (
    AccessFile,
    AccessLog,
    access_logger,
    common_line,
    escaped,
    json_line,
    without_secrets,
)
from airgap.server.exchange import PRINCIPAL

WHEN = datetime(2026, 2, 3, 4, 5, 6, 789_000, tzinfo=UTC)


def request(path: str = "/v2/", *, user: str = "", **headers: str) -> Any:
    """A request as a handler got it."""
    made = make_mocked_request("GET", path, headers=headers)
    if user:
        made[PRINCIPAL] = Principal(user)
    return made


def response(status: int = 200, size: int | None = None) -> Any:
    """An answer as it was sent."""
    return SimpleNamespace(status=status, content_length=size, body_length=0)


def test_a_line_of_json_says_all():
    """Time, user, request, status, bytes and seconds are there by name."""
    asked = request("/v2/a/tags/list?n=1", user="alice", Host="h:1")
    line = json.loads(json_line(asked, response(200, 42), 0.25, WHEN))
    assert line.pop("remote") is not None
    assert line == {
        "time": "2026-02-03T04:05:06.789+00:00",
        "user": "alice",
        "method": "GET",
        "path": "/v2/a/tags/list?n=1",
        "status": 200,
        "bytes": 42,
        "seconds": 0.25,
        "host": "h:1",
        "agent": "",
    }


def test_a_common_line_has_the_common_form():
    """Every tool that reads the common log format reads the line."""
    line = common_line(request("/v2/", user="alice"), response(404, 7), 0.1, WHEN)
    form = r'\S+ - alice \[03/Feb/2026:04:05:06 \+0000\] "GET /v2/ HTTP/1\.1" 404 7'
    assert re.fullmatch(form, line)


def test_nobody_and_nothing_are_hyphens():
    """Without a user or a body the common line has hyphens in their place."""
    line = common_line(request(), response(304), 0.1, WHEN)
    assert " - - [" in line
    assert line.endswith('" 304 -')


NASTY = 'a\n127.0.0.1 - root "GET / HTTP/1.1" 200\x1b[2J\\ \u2028\u202e é'


@pytest.mark.parametrize("line", [json_line, common_line])
def test_a_client_cannot_write_lines_of_its_own(line):
    """Whatever a client sends, the line is one line of printable ASCII."""
    asked = make_mocked_request("GET", "/v2/")
    asked[PRINCIPAL] = Principal(NASTY)
    asked._headers = {"User-Agent": NASTY, "Host": NASTY}  # http parsers would not let it pass
    asked.__dict__["path_qs"] = NASTY
    asked._cache["path_qs"] = NASTY
    found = line(asked, response(), 0.1, WHEN)
    assert found.isascii()
    assert found.isprintable()


def test_escapes_are_those_of_apache():
    """Quotes, backslashes, control characters and all beyond ASCII become hex."""
    assert escaped('a"b\\c\nd\x7fé') == "a\\x22b\\x5cc\\x0ad\\x7f\\xc3\\xa9"
    assert escaped("plain text") == "plain text"


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/token?account=a&password=x", "/token?account=a&password=***"),
        ("/x?access_token=abc;b=1", "/x?access_token=***;b=1"),
        ("/x?Refresh-Token=abc", "/x?Refresh-Token=***"),
        ("/x?n=1&last=token", "/x?n=1&last=token"),
        ("/token/password=x", "/token/password=x"),
        ("/x?a=1?token=abc", "/x?a=1?token=***"),
    ],
)
def test_credentials_in_a_query_are_not_written(target, shown):
    """Values of parameters that sound like credentials are left out, all else stays."""
    assert without_secrets(target) == shown


def test_headers_with_credentials_are_never_written():
    """Neither form has anything of Authorization or of cookies."""
    asked = request(Authorization="Basic c2VjcmV0", Cookie="session=c2VjcmV0")
    for line in (json_line, common_line):
        assert "c2VjcmV0" not in line(asked, response(), 0.1, WHEN)


def test_a_file_gets_lines_and_is_begun_anew_when_moved(tmp_path):
    """After a rotation lines go to a new file of the old name."""
    path = tmp_path / "access.log"
    handler = AccessFile(path)
    log = AccessLog(access_logger(handler), "json")
    try:
        log.log(request("/one"), web.Response(), 0.1)
        path.rename(tmp_path / "access.log.1")
        log.log(request("/two"), web.Response(), 0.1)
    finally:
        handler.close()
    assert json.loads((tmp_path / "access.log.1").read_text())["path"] == "/one"
    assert json.loads(path.read_text())["path"] == "/two"


def test_a_file_that_cannot_be_written_is_refused(tmp_path):
    """A folder that is not there is an error of storage, at the start."""
    with pytest.raises(StorageError, match=r"access\.log"):
        AccessFile(tmp_path / "none" / "access.log")


def test_a_full_disk_fails_no_request(tmp_path, caplog):
    """What cannot be noted is warned of once a minute, and no request fails of it."""
    times = iter([0.0, 1.0, 30.0, 100.0])
    handler = AccessFile(tmp_path / "access.log", now=lambda: next(times))
    record = logging.LogRecord("x", logging.INFO, "", 0, "line", None, None)
    with caplog.at_level(logging.WARNING, logger="airgap"):
        for _ in range(3):
            handler.handleError(record)
    handler.close()
    assert len(caplog.records) == 2
