"""What registries say in the bodies of their refusals."""

from __future__ import annotations

import json

import pytest

from airgap.registry.failure import WireErrors, is_not_tls, one_line, parse_wire_errors


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
