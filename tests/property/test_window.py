"""Whatever the readers of a pipe do, they get its bytes, and little of them is kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airgap.errors import UnavailableError
from airgap.run import Run
from airgap.transfer.window import Window


@given(
    pieces=st.lists(st.binary(max_size=40), max_size=30),
    size=st.integers(1, 200),
    steps=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 120)), max_size=60),
    readers=st.integers(1, 3),
)
def test_readers_get_the_bytes_from_where_they_ask(pieces, size, steps, readers):
    """Reading on and falling back in any order gives exactly the content, from bounded memory."""
    data = b"".join(pieces)
    window = Window(iter(pieces), run=Run(), size=size)
    receivers = [window.join() for _ in range(readers)]
    chunk = max(map(len, pieces), default=0)
    for number, back in steps:
        receiver = receivers[number % readers]
        offset = max(0, receiver.offset - back)
        try:
            with receiver.open_at(offset) as chunks:
                furthest = max(r.offset for r in receivers)
                slowest = min(r.offset for r in receivers)
                if furthest - slowest < size:  # else it would wait for another thread
                    got = next(chunks, b"")
                    assert got == data[offset : offset + len(got)]
                    assert got or offset == len(data)
        except UnavailableError:
            assert window._end - offset >= size, "what lies within the window is there"
        kept = sum(len(piece) for _, piece in window._kept)
        assert kept <= size + 2 * chunk
