"""A log that is anything at all: it is told what is wrong, and nothing is built upon it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from airgap.errors import BundleFormatError, IntegrityError
from airgap.transfer.custody import CustodyLog
from tests.support.custody import AUTHOR, BEGINNING, numbered

LINES = numbered(4)
PIECES = st.one_of(
    st.sampled_from(LINES),
    st.sampled_from([line[:-1] for line in LINES]),
    st.sampled_from([b"\n", b"{}\n", b"\0\0\0", b'{"seq":1}\n', b"\xff\n", b"[" * 200 + b"\n"]),
    st.binary(max_size=30),
)


@given(st.lists(PIECES, max_size=6))
def test_a_log_of_any_content_is_looked_at_and_never_lost(pieces: list[bytes]) -> None:
    """A check comes to its end or names a newer version; an append keeps all whole lines."""
    raw = b"".join(pieces)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "custody.log"
        path.write_bytes(raw)
        log = CustodyLog(path, now=lambda: BEGINNING)
        try:
            before = log.check()
        except BundleFormatError:
            return
        whole = raw[: raw.rfind(b"\n") + 1]
        assert before.torn == len(raw) - len(whole)
        try:
            position = log.append("export", {}, author=AUTHOR)
        except IntegrityError:
            assert before.chain.flaws
            assert path.read_bytes() == raw
            return
        assert path.read_bytes().startswith(whole)
        after = log.check().chain
        assert after.position == position
        assert after.flaws == before.chain.flaws
        assert after.lines == before.chain.lines + (2 if before.torn else 1)
