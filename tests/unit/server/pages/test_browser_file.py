"""A file that a browser sends as it is asked to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from airgap.content.store import CHUNK_SIZE
from airgap.errors import CancelledError, UnavailableError
from airgap.run import CancelToken
from airgap.server.pages import browser_file
from airgap.server.pages.browser_file import BrowserFile, Want

DATA = bytes(range(256)) * 64


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def reader() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def read(file: BrowserFile, offset: int, size: int) -> bytes:
    with file.open(offset, size) as chunks:
        return b"".join(chunks)


def wanted(file: BrowserFile) -> Want:
    file.wait_for_want(10)
    assert file.want is not None
    return file.want


def test_what_is_wanted_is_what_comes(reader: ThreadPoolExecutor):
    """The bytes that are sent as they are wanted are the bytes that are read."""
    file = BrowserFile("a.tar", len(DATA), CancelToken())
    future: Future[bytes] = reader.submit(read, file, 100, 1000)
    assert wanted(file) == Want(100, 1000)
    assert file.feed(100, DATA[100:600])
    assert wanted(file) == Want(600, 500)
    assert file.feed(600, DATA[600:1100])
    assert future.result(10) == DATA[100:1100]
    assert file.want is None


def test_what_is_not_wanted_is_not_taken(reader: ThreadPoolExecutor):
    """Bytes of another place, too many of them, or sent twice, change nothing."""
    file = BrowserFile("a.tar", len(DATA), CancelToken())
    assert not file.feed(0, b"x")
    future: Future[bytes] = reader.submit(read, file, 100, 10)
    wanted(file)
    assert not file.feed(99, b"x")
    assert not file.feed(101, b"x")
    assert not file.feed(100, b"x" * 11)
    assert file.feed(100, DATA[100:105])
    assert not file.feed(100, DATA[100:105])
    assert file.feed(105, DATA[105:110])
    assert future.result(10) == DATA[100:110]


def test_a_fast_browser_waits_for_a_slow_disk(monkeypatch: pytest.MonkeyPatch):
    """No more bytes wait in memory than the buffer holds and one piece."""
    monkeypatch.setattr(browser_file, "BUFFER_SIZE", 2 * CHUNK_SIZE)
    token = CancelToken()
    file = BrowserFile("a.tar", 10 * CHUNK_SIZE, token)
    piece = bytes(CHUNK_SIZE)
    fed: list[int] = []
    with file.open(0, 10 * CHUNK_SIZE):

        def feed() -> None:
            for number in range(10):
                if not file.feed(number * CHUNK_SIZE, piece):
                    return
                fed.append(number)

        thread = threading.Thread(target=feed)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        assert len(fed) == 2
        token.cancel()
        thread.join(10)
        assert not thread.is_alive()
        assert len(fed) == 2


def test_a_browser_that_went_away_is_not_waited_for_forever():
    """After a while without a word the read fails, and says how to go on."""
    clock = Clock()
    file = BrowserFile("a.tar", 100, CancelToken(), now=clock)
    with file.open(0, 100) as chunks:
        clock.time += browser_file.IDLE_SECONDS + 1
        with pytest.raises(UnavailableError) as caught:
            next(iter(chunks))
    assert "same file" in (caught.value.hint or "")


def test_a_browser_that_is_heard_of_is_waited_for(reader: ThreadPoolExecutor):
    """A page that asks how far it is counts as being there."""
    clock = Clock()
    file = BrowserFile("a.tar", 100, CancelToken(), now=clock)
    future: Future[bytes] = reader.submit(read, file, 0, 4)
    assert wanted(file) == Want(0, 4)
    clock.time += browser_file.IDLE_SECONDS - 1
    file.hear()
    clock.time += browser_file.IDLE_SECONDS - 1
    assert file.feed(0, b"data")
    assert future.result(10) == b"data"


def test_a_cancellation_ends_the_wait():
    """A read whose run is cancelled ends with that."""
    token = CancelToken()
    file = BrowserFile("a.tar", 100, token)
    with file.open(0, 100) as chunks:
        token.cancel()
        with pytest.raises(CancelledError):
            next(iter(chunks))
    assert not file.feed(0, b"x")


def test_nothing_is_wanted_when_it_is_over():
    """After the end nobody waits for a want, and no byte is taken."""
    file = BrowserFile("a.tar", 100, CancelToken())
    file.finish()
    file.wait_for_want(60)
    assert file.is_over
    assert file.want is None
    assert not file.feed(0, b"x")
