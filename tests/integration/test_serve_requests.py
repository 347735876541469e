"""Requests as only an attacker or a broken client sends them, byte by byte over a socket."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.support.served import ServedProcess, served

HOST = b"Host: localhost\r\n"
LAST = HOST + b"Connection: close\r\n"
SILENCE = 2.0


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[ServedProcess]:
    with served("--data", tmp_path_factory.mktemp("data") / "data") as server:
        yield server


def hear(server: ServedProcess, *pieces: bytes) -> bytes:
    """Send bytes, and give all that comes until the server ends or falls silent."""
    answers = b""
    with server.connect(20) as client:
        try:
            for piece in pieces:
                client.sendall(piece)
            client.settimeout(SILENCE)
            while part := client.recv(65536):
                answers += part
        except (ConnectionError, TimeoutError):
            pass
    return answers


def talk(server: ServedProcess, *pieces: bytes) -> list[int]:
    """Send bytes, and give the statuses of all answers."""
    answers = hear(server, *pieces)
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] ([0-9]{3}) [A-Z]", answers)]


def test_two_requests_get_two_answers(server):
    """What is sent in one go and is in order is answered in order."""
    first, last = (b"GET /v2/ HTTP/1.1\r\n" + host + b"\r\n" for host in (HOST, LAST))
    assert talk(server, first + last) == [200, 200]


INNER = b"GET /v2/_catalog HTTP/1.1\r\n" + HOST + b"\r\n"
SHAPES = {
    "length and chunks": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
    "two equal lengths": b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a list of lengths": b"Content-Length: 5, 5\r\n\r\nhello",
    "a negative length": b"Content-Length: -1\r\n\r\n",
    "a length with a sign": b"Content-Length: +5\r\n\r\nhello",
    "a length in hex": b"Content-Length: 0x5\r\n\r\nhello",
    "a huge length": b"Content-Length: 99999999999999999999999\r\n\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked not last": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "an unknown coding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a hidden coding": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a coding behind a control character": b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a folded header": b"X: a\r\n b\r\n\r\n",
    "a header without a colon": b"nothing\r\n\r\n",
    "a name with a space": b"X Y: z\r\n\r\n",
    "a null byte": b"X: a\x00b\r\n\r\n",
    "a bare carriage return": b"X: a\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk of no number": b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    "a chunk with a sign": b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "a huge chunk": b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n\r\n",
    "a chunk longer than it says": b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_what_two_servers_could_read_differently_is_refused(server, shape):
    """A request whose end is a matter of opinion is refused, and what follows not answered."""
    # an upload, so that the body is read
    begin = b"POST /v2/x/blobs/uploads/?digest=sha256:" + b"0" * 64 + b" HTTP/1.1\r\n" + HOST
    statuses = talk(server, begin + SHAPES[shape] + INNER)
    assert statuses in ([400], []), statuses


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\n\r\n",
        b"GET /v2/ HTTP/1.1 \r\nHost: localhost\r\n\r\n",
        b"GET /v2/ HTTP/3.7\r\nHost: localhost\r\n\r\n",
        b"GET /v2/\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT evil.example:80 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET http://evil.example/v2/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    ],
)
def test_what_is_no_request_for_this_server_gets_no_content(server, request_line):
    """No Host, two of them, another's, TLS to the plain port: none is answered with a 200."""
    statuses = talk(server, request_line)
    assert all(status >= 400 for status in statuses), statuses
    assert len(statuses) <= 1


def test_an_absolute_target_does_not_hide_the_host(server):
    """A url in the request line does not get another answer than its Host would."""
    line = b"GET http://evil.example/v2/ HTTP/1.1\r\n" + LAST + b"\r\n"
    assert talk(server, line) in ([200], [400], [421])


@pytest.mark.parametrize(
    "flood",
    [
        b"GET /v2/" + b"a" * 70_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /v2/ HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 70_000 + b"\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\n" + HOST + b"".join(b"X%d: y\r\n" % n for n in range(500)) + b"\r\n",
        b"GET /v2/ HTTP/1.1\r\n" + HOST + b"X" * 70_000 + b": y\r\n\r\n",
    ],
)
def test_floods_of_headers_are_refused(server, flood):
    """Long lines, long names, long values and many headers are refused, and others are served."""
    assert talk(server, flood) in ([400], [431], [])
    assert talk(server, b"GET /v2/ HTTP/1.1\r\n" + LAST + b"\r\n") == [200]


def test_headers_without_an_end_are_cut(server):
    """A client that sends headers without an end is cut off long before it sent all it wanted."""
    sent = 0
    with server.connect(20) as client:
        try:
            client.sendall(b"GET /v2/ HTTP/1.1\r\n" + HOST)
            while sent < 64 << 20:
                sent += client.send(b"X: " + b"a" * 4000 + b"\r\n")
        except (ConnectionResetError, BrokenPipeError):
            pass
    assert sent < 64 << 20


def test_bodies_that_nobody_wants_are_refused(server):
    """A body of a megabyte with a GET is refused before it is read."""
    request = b"GET /v2/ HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000\r\n\r\n"
    assert talk(server, request) == [413]


def test_a_client_that_says_much_and_goes_is_forgotten(server):
    """A thousand clients that go without a word leave the server as it was."""
    for _ in range(1000):
        server.connect(20).close()
    assert talk(server, b"GET /v2/ HTTP/1.1\r\n" + LAST + b"\r\n") == [200]


@pytest.mark.parametrize(
    "secret",
    [b"Authorization : Basic c2VjcmV0\r\n", b"c2VjcmV0\r\n", b"X: c2VjcmV0\x00\r\n"],
    ids=["space", "no colon", "null byte"],
)
def test_what_cannot_be_read_is_not_repeated(server, secret):
    """Neither answer nor log have what came, and the answer is fenced and tells no version."""
    answer = hear(server, b"GET /v2/ HTTP/1.1\r\n" + HOST + secret + b"\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 400 " in head.split(b"\r\n")[0]
    for header in (
        b"X-Content-Type-Options: nosniff",
        b"Content-Security-Policy: default-src 'none'; sandbox",
        b"Content-Type: application/json",
        b"Server: airgap",
    ):
        assert header in head.split(b"\r\n")
    assert json.loads(body)["errors"][0]["code"] == "UNSUPPORTED"
    assert b"c2VjcmV0" not in answer
    assert talk(server, b"GET /v2/ HTTP/1.1\r\n" + LAST + b"\r\n") == [200]
    assert "c2VjcmV0" not in "".join(server.errors)
