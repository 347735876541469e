"""Streams in the age format, against the program `age` and against damage."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyrage
import pytest

from airgap.content.age import BLOCK, Identities
from airgap.content.age_streams import DecryptingStream, Encrypted, EncryptingStream
from airgap.errors import (
    AirgapError,
    BundleFormatError,
    IncompleteBundleError,
    IntegrityError,
    StorageError,
    StorageFullError,
    UnauthorizedError,
)
from airgap.oci.digest import Digest

needs_age = pytest.mark.skipif(shutil.which("age") is None, reason="needs the program age")
SIZES = (0, 1, 65_535, 65_536, 200_000, BLOCK + 12_345)


@pytest.fixture(name="keys")
def _keys() -> Identities:
    return Identities((str(pyrage.x25519.Identity.generate()),))


def _data(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def _feed(stream: EncryptingStream, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[stream.write(view) :]


def _encrypt(path: Path, data: bytes, keys: Identities) -> Encrypted:
    with path.open("wb") as file:
        with EncryptingStream(file.fileno(), keys.recipients, name=path.name) as stream:
            _feed(stream, data)
            return stream.finish()


def _decrypt(path: Path, keys: Identities, size: int | None = None) -> bytes:
    parts = []
    with path.open("rb") as file:
        with DecryptingStream(file, keys, name=path.name, size=size) as stream:
            while chunk := stream.read(1 << 20):
                parts.append(chunk)
            assert stream.read(1) == b""
    return b"".join(parts)


@pytest.mark.parametrize("size", SIZES)
def test_what_is_encrypted_reads_back_and_every_block_has_its_checksum(
    tmp_path: Path, keys: Identities, size: int
) -> None:
    """The checksums are those of the encrypted bytes as they lie in the file."""
    file = tmp_path / "x.age"
    found = _encrypt(file, _data(size), keys)
    raw = file.read_bytes()
    assert found.size == len(raw)
    assert found.blocks == tuple(Digest.of(raw[n : n + BLOCK]) for n in range(0, len(raw), BLOCK))
    assert _decrypt(file, keys) == _data(size)


@needs_age
@pytest.mark.parametrize("size", SIZES)
def test_age_opens_what_airgap_writes(tmp_path: Path, keys: Identities, size: int) -> None:
    """Nobody needs airgap to get at what is encrypted to them."""
    (tmp_path / "key").write_text(keys.texts[0] + "\n")
    _encrypt(tmp_path / "x.age", _data(size), keys)
    command = ["age", "-d", "-i", "key", "x.age"]
    assert subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout == _data(
        size
    )


@needs_age
@pytest.mark.parametrize("size", SIZES)
def test_airgap_opens_what_age_writes(tmp_path: Path, keys: Identities, size: int) -> None:
    """A bundle may be encrypted by hand on its way."""
    command = ["age", "-r", keys.recipients.lines[0], "-o", "x.age"]
    subprocess.run(command, cwd=tmp_path, check=True, input=_data(size))
    assert _decrypt(tmp_path / "x.age", keys) == _data(size)


@pytest.mark.parametrize(("place", "size"), [(-1, 200_000), (-70_000, 200_000), (400, 200_000)])
def test_a_flipped_bit_is_damage(tmp_path: Path, keys: Identities, place: int, size: int) -> None:
    """At the end it takes the known size to tell it from an end that is missing."""
    file = tmp_path / "x.age"
    written = _encrypt(file, _data(size), keys)
    raw = bytearray(file.read_bytes())
    raw[raw.index(b"\n--- ") + place if place > 0 else place] ^= 4
    file.write_bytes(raw)
    with pytest.raises(IntegrityError):
        _decrypt(file, keys, written.size)


@pytest.mark.parametrize("kept", [0, 10, 100, 0.5, -1, -65_552])
def test_a_file_that_ends_too_early_is_incomplete(
    tmp_path: Path, keys: Identities, kept: float
) -> None:
    """Wherever it is cut, in the header, in a chunk or between two."""
    file = tmp_path / "x.age"
    written = _encrypt(file, _data(200_000), keys)
    raw = file.read_bytes()
    file.write_bytes(raw[: int(len(raw) * kept) if isinstance(kept, float) else kept])
    for size in (None, written.size):
        with pytest.raises(IncompleteBundleError):
            _decrypt(file, keys, size)


def test_another_identity_reads_nothing(tmp_path: Path, keys: Identities) -> None:
    """And is told so, with the exit code of credentials."""
    _encrypt(tmp_path / "x.age", _data(1000), keys)
    other = Identities((str(pyrage.x25519.Identity.generate()),))
    with pytest.raises(UnauthorizedError):
        _decrypt(tmp_path / "x.age", other)


def test_a_file_of_something_else_is_no_age_file(tmp_path: Path, keys: Identities) -> None:
    """It is told from a damaged one by how it begins."""
    (tmp_path / "x.age").write_bytes(b"oci-layout" * 1000)
    with pytest.raises(BundleFormatError):
        _decrypt(tmp_path / "x.age", keys)


def test_a_full_medium_is_said_to_be_full(keys: Identities) -> None:
    """The child writes; what went wrong there is said here."""
    with Path("/dev/full").open("wb") as file:
        with EncryptingStream(file.fileno(), keys.recipients, name="stick") as stream:
            with pytest.raises(StorageFullError, match="stick"):
                _feed(stream, bytes(64 << 20))
                stream.finish()


def test_a_file_that_the_medium_does_not_take_is_a_storage_error(
    tmp_path: Path, keys: Identities
) -> None:
    """As FAT32 refuses what is too large, with EFBIG."""
    with (tmp_path / "x").open("wb") as file:
        with EncryptingStream(file.fileno(), keys.recipients, name="stick") as stream:
            resource.prlimit(stream.pid, resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
            with pytest.raises(StorageError, match="large"):
                _feed(stream, bytes(64 << 20))
                stream.finish()


@pytest.mark.parametrize("is_fed", [False, True])
def test_a_killed_child_is_a_storage_error(
    tmp_path: Path, keys: Identities, *, is_fed: bool
) -> None:
    """Whether that shows when it is fed, or only at the end."""
    with (tmp_path / "x").open("wb") as file:
        with EncryptingStream(file.fileno(), keys.recipients, name="stick") as stream:
            _feed(stream, bytes(1000))
            os.kill(stream.pid, signal.SIGKILL)
            with pytest.raises(StorageError, match="SIGKILL"):
                if is_fed:
                    _feed(stream, bytes(64 << 20))
                stream.finish()


def test_a_killed_child_that_decrypts_is_no_end_of_the_file(
    tmp_path: Path, keys: Identities
) -> None:
    """What it gave before must not pass for all there is."""
    _encrypt(tmp_path / "x.age", bytes(8 << 20), keys)
    with (tmp_path / "x.age").open("rb") as file:
        with DecryptingStream(file, keys, name="x.age") as stream:
            assert stream.read(1000)
            os.kill(stream.pid, signal.SIGKILL)
            with pytest.raises(AirgapError, match="decrypts it ended"):
                while stream.read(1 << 20):
                    pass


def test_closing_a_stream_ends_its_child(tmp_path: Path, keys: Identities) -> None:
    """An export that is interrupted leaves no process behind."""
    with (tmp_path / "x").open("wb") as file:
        with EncryptingStream(file.fileno(), keys.recipients, name="x") as stream:
            _feed(stream, bytes(1000))
    with pytest.raises(ProcessLookupError):
        os.kill(stream.pid, 0)


def test_a_child_ends_with_whoever_feeds_it(tmp_path: Path, keys: Identities) -> None:
    """`kill -9` of airgap must not leave processes that hold the lock on a file."""
    program = (
        "import sys, os, time; from airgap.content.age import Recipients;"
        "from airgap.content.age_streams import EncryptingStream;"
        "file = open(sys.argv[1], 'wb');"
        "s = EncryptingStream(file.fileno(), Recipients((sys.argv[2],)), name='x');"
        "s.write(b'1' * 1000); print(s.pid, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "x"), keys.recipients.lines[0]]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{child}").exists():
        if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            break
        assert time.monotonic() < deadline, "the child outlived its parent"
        time.sleep(0.05)


def test_no_secret_stands_in_the_arguments_or_the_environment(
    tmp_path: Path, keys: Identities
) -> None:
    """Everybody on the machine can list those."""
    _encrypt(tmp_path / "x.age", bytes(8 << 20), keys)
    with (tmp_path / "x.age").open("rb") as file:
        with DecryptingStream(file, keys, name="x.age") as stream:
            assert stream.read(1)
            seen = Path(f"/proc/{stream.pid}/cmdline").read_bytes()
            seen += Path(f"/proc/{stream.pid}/environ").read_bytes()
    assert b"decrypt" in seen
    assert b"AGE-SECRET-KEY" not in seen


def _peak(pid: int) -> int:
    """The most KiB that a process took."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def test_memory_does_not_grow_with_the_file(tmp_path: Path, keys: Identities) -> None:
    """Neither where it is encrypted nor where it is decrypted."""
    chunk = _data(1 << 20)
    with (tmp_path / "x.age").open("wb") as file:
        with EncryptingStream(file.fileno(), keys.recipients, name="x") as stream:
            for _ in range(150):
                _feed(stream, chunk)
            assert _peak(stream.pid) < 40 << 10
            stream.finish()
    with (tmp_path / "x.age").open("rb") as source:
        with DecryptingStream(source, keys, name="x") as plain:
            left = 150 << 20
            while left > 1 << 20:
                left -= len(plain.read(1 << 20))
            assert _peak(plain.pid) < 40 << 10
