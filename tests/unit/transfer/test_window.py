"""One pipe, several readers."""

from __future__ import annotations

import threading

import pytest

from airgap.errors import CancelledError, IncompleteBundleError, UnavailableError
from airgap.run import CancelToken, Run
from airgap.transfer.window import Window

DATA = bytes(range(256)) * 8
WAIT = 10


def pieces(data=DATA, size=100):
    return (data[at : at + size] for at in range(0, len(data), size))


def read(receiver, offset=0, limit=None):
    out = b""
    with receiver.open_at(offset) as chunks:
        for chunk in chunks:
            out += chunk
            if limit is not None and len(out) >= limit:
                break
    return out


def test_one_reader_gets_everything():
    """A single receiver sees the content as it is."""
    assert read(Window(pieces(), run=Run()).join()) == DATA


def test_content_without_bytes_ends_at_once():
    """A blob of size zero has nothing to wait for."""
    assert read(Window(iter(()), run=Run()).join()) == b""


def test_readers_at_different_speeds_all_get_everything():
    """The fast one waits for the slow one where the window is full."""
    window = Window(pieces(), run=Run(), size=300)
    receivers = [window.join() for _ in range(3)]
    out: dict[int, bytes] = {}
    turn = threading.Event()

    def work(number: int) -> None:
        if number == 2:
            turn.wait(WAIT)
        out[number] = read(receivers[number])
        receivers[number].leave()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    turn.set()
    for thread in threads:
        thread.join(WAIT)
    assert out == dict.fromkeys(range(3), DATA)


def test_who_is_ahead_goes_on_when_the_slow_one_leaves():
    """A receiver that gives up does not hold the others."""
    window = Window(pieces(), run=Run(), size=300)
    fast, slow = window.join(), window.join()
    timer = threading.Timer(0.05, slow.leave)
    timer.start()
    assert read(fast) == DATA
    timer.join()


def test_falling_back_within_the_window_gives_the_same_bytes():
    """An upload that broke a little earlier goes on."""
    receiver = Window(pieces(), run=Run(), size=500).join()
    read(receiver, limit=1000)
    assert read(receiver, offset=650) == DATA[650:]


def test_falling_back_behind_the_window_is_refused():
    """What has passed cannot be given again: pipe it again."""
    receiver = Window(pieces(), run=Run(), size=300).join()
    read(receiver, limit=1500)
    with pytest.raises(UnavailableError) as raised, receiver.open_at(100):
        pass
    assert raised.value.hint == "pipe it again, what arrived is skipped"


def test_nothing_is_forgotten_before_a_joined_reader_has_read_it():
    """Who joins before the first byte gets it, however late."""
    window = Window(pieces(size=50), run=Run(), size=300)
    first, second = window.join(), window.join()
    assert read(first, limit=250) == DATA[:250]
    assert read(second, limit=50) == DATA[:50]


def test_a_large_chunk_pushes_nothing_out_that_is_still_unread():
    """One chunk may be longer than the window: what the slow one needs is kept all the same."""
    window = Window(iter([DATA[:2], DATA[2:700], DATA[700:]]), run=Run(), size=10)
    fast, slow = window.join(), window.join()
    assert read(fast, limit=3)[:3] == DATA[:3]
    fast.leave()
    assert read(slow) == DATA


def test_a_broken_pipe_breaks_all_readers():
    """The error of the content reaches everybody, each time somebody asks."""

    def broken():
        yield DATA[:100]
        raise IncompleteBundleError("cut")

    window = Window(broken(), run=Run())
    for receiver in (window.join(), window.join()):
        with pytest.raises(IncompleteBundleError, match="cut"):
            read(receiver)


def test_waiting_ends_with_the_run():
    """A receiver that waits for a slower one sees the cancellation."""
    token = CancelToken()
    window = Window(pieces(), run=Run(cancel=token), size=200)
    fast, _slow = window.join(), window.join()
    token.cancel()
    with pytest.raises(CancelledError):
        read(fast)


def test_what_nobody_wanted_passes():
    """Draining leaves the pipe behind the blob."""
    source = pieces()
    window = Window(source, run=Run())
    read(window.join(), limit=100)
    window.drain()
    assert next(source, None) is None
