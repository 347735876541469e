"""Downloads that break, stall or bring wrong bytes are gone on with, or refused."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from aiohttp import web

from airgap.errors import (
    ExitCode,
    IntegrityError,
    UnauthorizedError,
    UnavailableError,
)
from tests.support.embedded import CutAnswer, Drop, EmbeddedRegistry, Status
from tests.support.transfers import (
    export,
    open_client,
)


@dataclass(frozen=True)
class Stall:
    """Send so many bytes of a blob, and then nothing for a while."""

    start: bytes
    size: int


class StallingRegistry(EmbeddedRegistry):
    """One that knows one fault more."""

    async def _answer(self, request, handler, fault):
        if not isinstance(fault, Stall):
            return await super()._answer(request, handler, fault)
        response = web.StreamResponse(status=200)
        response.content_length = fault.size
        await response.prepare(request)
        await response.write(fault.start)
        await asyncio.sleep(2)
        return response


@pytest.fixture
def outside():
    with StallingRegistry() as registry:
        yield registry


def ranges(registry, digest):
    return [seen.headers.get("Range") for seen in registry.matching("GET", digest.hex)]


def resumed_at(registry, layer):
    """Where the one request for a layer began."""
    [asked] = ranges(registry, layer.descriptor.digest)
    return int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0


def test_a_cut_download_goes_on_where_it_broke(outside, name, layer, clean, tmp_path):
    """Each cut costs a request with a Range and not a byte twice."""
    outside.fail(CutAnswer(after=30_000), path=layer.descriptor.digest.hex, times=3)
    export(name, tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_bytes() == clean
    asked = ranges(outside, layer.descriptor.digest)
    assert asked == [None, "bytes=30000-", "bytes=60000-", "bytes=90000-"]


def test_a_download_that_stalls_goes_on(outside, name, layer, clean, tmp_path):
    """Seconds without a byte are a broken connection."""
    stall = Stall(layer.data[:5000], layer.descriptor.size)
    outside.fail(stall, path=layer.descriptor.digest.hex)
    with open_client(timeout=0.2) as client:
        export(name, tmp_path / "b.tar", client=client)
    assert (tmp_path / "b.tar").read_bytes() == clean


def test_a_server_that_ignores_ranges_is_noticed(outside, name, layer, clean, tmp_path):
    """All of it again with 200 instead of 206: what is there already is dropped from it."""
    whole = Status(200, body=layer.data)
    outside.fail(CutAnswer(after=30_000), whole, path=layer.descriptor.digest.hex)
    export(name, tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_bytes() == clean


def test_a_server_that_goes_on_elsewhere_is_noticed(outside, name, layer, clean, tmp_path):
    """A 206 from another offset is not written at ours."""
    size = layer.descriptor.size
    headers = {"Content-Range": f"bytes 10-{size - 1}/{size}"}
    wrong = Status(206, headers, layer.data[10:])
    outside.fail(CutAnswer(after=30_000), wrong, path=layer.descriptor.digest.hex)
    export(name, tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_bytes() == clean


def test_a_registry_that_goes_away_leaves_what_came(outside, name, layer, clean, tmp_path):
    """After all retries it is an error, and the next run asks only for the rest."""
    path = tmp_path / "b.tar"
    outside.fail(CutAnswer(after=300_000), Drop(), path=layer.descriptor.digest.hex, times=100)
    with pytest.raises(UnavailableError) as raised:
        export(name, path)
    assert raised.value.exit_code == ExitCode.UNAVAILABLE
    assert not path.exists()
    outside.fault = None
    outside.clear()
    export(name, path)
    assert resumed_at(outside, layer) > 100_000
    assert path.read_bytes() == clean


def test_a_registry_that_wants_credentials_in_the_middle(outside, name, layer, clean, tmp_path):
    """What came before is kept for when there are some."""
    path = tmp_path / "b.tar"
    challenge = Status(401, {"WWW-Authenticate": 'Basic realm="x"'})
    outside.fail(CutAnswer(after=300_000), challenge, path=layer.descriptor.digest.hex, times=9)
    with pytest.raises(UnauthorizedError) as raised:
        export(name, path)
    assert "login" in (raised.value.hint or "")
    outside.fault = None
    outside.clear()
    export(name, path)
    assert resumed_at(outside, layer) > 100_000
    assert path.read_bytes() == clean


def wrong(data):
    return bytes(b ^ 1 for b in data)


@pytest.mark.parametrize("change", [wrong, lambda d: d[:-1], lambda d: d + b"x", lambda d: b""])
def test_wrong_bytes_are_refused_and_not_kept(outside, name, layer, clean, tmp_path, change):
    """Another content or another length is exit 20, and nothing of it stays."""
    path = tmp_path / "b.tar"
    lie = Status(200, body=change(layer.data))
    outside.fail(lie, method="GET", path=layer.descriptor.digest.hex, times=100)
    with pytest.raises(IntegrityError) as raised:
        export(name, path)
    assert raised.value.exit_code == ExitCode.INTEGRITY
    assert layer.descriptor.digest.hex in raised.value.message
    assert not path.exists()
    outside.fault = None
    outside.clear()
    export(name, path)
    assert ranges(outside, layer.descriptor.digest) == [None]
    assert path.read_bytes() == clean


def test_wrong_bytes_in_the_beginning_of_a_blob_are_thrown_away(
    outside, name, layer, clean, tmp_path
):
    """A blob that was continued and is wrong is asked for once more as a whole."""
    path = tmp_path / "b.tar"
    stall = Stall(wrong(layer.data)[:300_000], layer.descriptor.size)
    outside.fail(stall, Drop(), path=layer.descriptor.digest.hex, times=100)
    with pytest.raises(UnavailableError), open_client(timeout=0.2) as client:
        export(name, path, client=client)
    outside.fault = None
    outside.clear()
    export(name, path)
    resumed, whole = ranges(outside, layer.descriptor.digest)
    assert resumed is not None
    assert whole is None
    assert path.read_bytes() == clean
