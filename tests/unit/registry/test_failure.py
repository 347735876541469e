"""What registries say in the bodies of their refusals."""

from __future__ import annotations

import json
import ssl
from http.client import RemoteDisconnected

import pytest
from urllib3 import exceptions
from urllib3.connection import HTTPConnection

from airgap.registry.endpoint import Endpoint
from airgap.registry.failure import (
    WireErrors,
    is_not_tls,
    network_failure,
    one_line,
    parse_wire_errors,
)
from airgap.registry.retry import TransientError


def errors(*pairs: tuple[str, str]) -> bytes:
    return json.dumps({"errors": [{"code": c, "message": m} for c, m in pairs]}).encode()


def test_codes_and_messages_are_read() -> None:
    """Every error of a body is in the text, and its code is data."""
    found = parse_wire_errors(errors(("NAME_UNKNOWN", "no such"), ("DENIED", "")), "")
    assert found.codes == ("NAME_UNKNOWN", "DENIED")
    assert found.text == "NAME_UNKNOWN: no such; DENIED"
    assert parse_wire_errors(errors(("A", "b"), ("A", "b")), "").text == "A: b"
    assert found.has("DENIED", "OTHER")
    assert not found.has("OTHER")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", WireErrors()),
        (b"404 page not found\n", WireErrors(text="404 page not found")),
        (b"{}", WireErrors()),
        (b'{"errors":null}', WireErrors()),
        (b'{"errors":[null,5,{}]}', WireErrors()),
        (b'{"errors":"x"}', WireErrors()),
        (b"\xff\x00\xfe", WireErrors(text="\ufffd \ufffd")),
        (b"  <html>", WireErrors(text="HTML instead of JSON", is_html=True)),
    ],
)
def test_other_bodies_do_no_harm(raw: bytes, expected: WireErrors) -> None:
    """Whatever comes as a refusal, reading it does not fail."""
    assert parse_wire_errors(raw, "application/json") == expected


def test_html_is_recognised_by_its_type() -> None:
    """A page is a page also where its bytes do not begin like one."""
    assert parse_wire_errors(b"hello", "text/HTML; charset=x").is_html


@pytest.mark.parametrize(
    "text", ["a\nb", "a\x1b[31mb", "a\x00b", "a\u202eb", "a\u2028b", "a\x9bb", "a\r\n\tb"]
)
def test_control_characters_are_removed(text: str) -> None:
    """Nothing that a server says can move the cursor, break the line or turn the text around."""
    shown = one_line(text)
    assert shown.startswith("a ")
    assert shown.endswith("b")
    assert shown.isprintable()


def test_long_texts_are_cut() -> None:
    """A line has at most 200 characters."""
    assert len(one_line("x" * 100_000)) == 200
    assert len(parse_wire_errors(errors(("A", "x" * 5000)), "").text) == 200


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", True),
        ("[SSL] record layer failure (_ssl.c:1006)", True),
        ("[SSL: HTTP_REQUEST] http request", True),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", False),
    ],
)
def test_plain_answers_are_told_from_tls_failures(text: str, expected: bool) -> None:
    """A server that does not speak TLS is recognised by what OpenSSL says."""
    assert is_not_tls(text) is expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"Client sent an HTTP request to an HTTPS server.\n", True),
        (b"<html>The plain HTTP request was sent to HTTPS port</html>", True),
        (b"<p>Reason: You're speaking plain HTTP to an SSL-enabled server port.", True),
        (b"the name is invalid", False),
    ],
)
def test_a_server_that_wanted_tls_is_known_by_its_words(raw: bytes, expected: bool) -> None:
    """What Go, nginx and Apache say to HTTP at a port for TLS is recognised, as a page or not."""
    assert parse_wire_errors(raw, "").wants_tls is expected


def not_connected() -> exceptions.NewConnectionError:
    """What urllib3 raises where nobody listens."""
    error = exceptions.NewConnectionError(HTTPConnection("proxy"), "failed: [Errno 111] no")
    error.__cause__ = ConnectionRefusedError(111, "Connection refused")
    return error


@pytest.mark.parametrize(
    ("original", "reason"),
    [
        (not_connected(), "connection refused"),
        (
            exceptions.NameResolutionError("proxy", HTTPConnection("proxy"), OSError("x")),  # type: ignore[arg-type]  # any error will do
            "its name is not known",
        ),
        (exceptions.ConnectTimeoutError(), "it sent nothing for too long"),
        (exceptions.SSLError(ssl.SSLError(1, "[SSL] wrong version number")), "does not speak TLS"),
        (exceptions.SSLError(ssl.SSLError(1, "[SSL] alert")), "TLS with it failed"),
        (
            OSError("Tunnel connection failed: 407 of //me:s3cret@proxy" + "x" * 200),
            "Tunnel connection failed: 407 of //proxyx",
        ),
        (exceptions.ProtocolError(HTTPConnection("proxy")), "the connection broke"),
    ],
)
def test_a_proxy_that_fails_is_told_in_words(original: Exception, reason: str) -> None:
    """Neither the names of Python's classes nor credentials are in the message."""
    error = exceptions.ProxyError("no", original)
    failure = network_failure(error, Endpoint("https", "there", 443), origin=None)
    assert isinstance(failure, TransientError)
    message = failure.error.message
    assert message.startswith("there cannot be reached through the proxy: ")
    assert reason in message
    assert "object" not in message
    assert "HTTPConnection" not in message
    assert "s3cret" not in message


@pytest.mark.parametrize(("scheme", "is_told"), [("http", True), ("https", False)])
def test_a_connection_without_an_answer_may_have_been_meant_for_tls(
    scheme: str, is_told: bool
) -> None:
    """Where HTTP got no answer at all, the hint speaks of --plain-http."""
    error = exceptions.ProtocolError("Connection aborted.", RemoteDisconnected("no"))
    failure = network_failure(error, Endpoint(scheme, "there", 5000), origin=None)
    assert isinstance(failure, TransientError)
    assert ("--plain-http" in (failure.error.hint or "")) is is_told
