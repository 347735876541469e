"""What an import keeps between media: nothing of another bundle, and nothing unverified."""

from __future__ import annotations

from pathlib import Path

import pytest

from airgap.errors import IntegrityError
from airgap.oci.digest import Digest
from airgap.run import Run
from airgap.transfer import gather_state
from airgap.transfer.gather_state import KeptPiece, KeptPieces

BUNDLE, OTHER, BLOB = Digest.of(b"bundle"), Digest.of(b"other"), Digest.of(b"blob")
TO, DATA = "registry:5000", b"a piece" * 100
PIECE = KeptPiece(BLOB, 0, len(DATA), Digest.of(DATA), 1)


def kept(folder: Path, bundle: Digest = BUNDLE, to: str = TO) -> KeptPieces:
    return KeptPieces(folder, bundle, to, run=Run())


@pytest.mark.parametrize(("bundle", "to"), [(OTHER, TO), (BUNDLE, "elsewhere:5000")])
def test_what_was_kept_for_something_else_is_not_believed(
    tmp_path: Path, bundle: Digest, to: str
) -> None:
    """A folder that was renamed or copied brings no volume and no piece to another import."""
    folder = tmp_path / "state"
    with kept(folder) as state:
        state.keep({PIECE: iter([DATA])})
        state.note(frozenset({1}))
    with kept(folder) as state:
        assert (state.arrived, dict(state.of(BLOB))) == ({1}, {1: PIECE})
    with kept(folder, bundle, to) as state:
        assert (state.arrived, dict(state.of(BLOB))) == (frozenset(), {})


@pytest.mark.parametrize("data", [DATA[:-1], DATA + b"x", b"A" + DATA[1:]])
def test_a_piece_that_is_not_what_its_volume_says_is_not_kept(tmp_path: Path, data: bytes) -> None:
    """Neither in the state nor as a file."""
    folder = tmp_path / "state"
    with kept(folder) as state:
        with pytest.raises(IntegrityError):
            state.keep({PIECE: iter([data])})
        assert not state.of(BLOB)
    assert {path.name for path in folder.iterdir()} <= {"lock", "state.json"}


def test_a_piece_stands_in_the_state_only_after_its_bytes_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the two, the next run asks for it again and removes the bytes."""

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    folder = tmp_path / "state"
    with monkeypatch.context() as patched, kept(folder) as state:
        patched.setattr(gather_state, "write_file", killed)
        with pytest.raises(KeyboardInterrupt):
            state.keep({PIECE: iter([DATA])})
    assert (folder / PIECE.name).read_bytes() == DATA
    with kept(folder) as state:
        assert not state.of(BLOB)
        assert not (folder / PIECE.name).exists()


def test_a_piece_is_hashed_again_by_the_next_run(tmp_path: Path) -> None:
    """A bit that changed meanwhile gives it up; other files of the folder are left alone."""
    folder = tmp_path / "state"
    with kept(folder) as state:
        state.keep({PIECE: iter([DATA])})
    (folder / PIECE.name).write_bytes(b"A" + DATA[1:])
    (folder / "notes.txt").write_text("of somebody else")
    with kept(folder) as state:
        assert not state.check(PIECE)
        assert not state.of(BLOB)
        assert not (folder / PIECE.name).exists()
        state.remove()
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
