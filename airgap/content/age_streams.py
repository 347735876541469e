"""Streams in the age format: written front to back to a file, and read from one.

A process for each does the work (`age_child`), with bounded memory. It ends with the stream that
feeds it; the name that a file gets when it is whole is given by whoever waits for it here.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

from airgap.content.age import BLOCK, Identities, Recipients
from airgap.content.posix import widen_pipe
from airgap.content.storage import storage_error, storage_errors
from airgap.errors import (
    AirgapError,
    BundleFormatError,
    IncompleteBundleError,
    IntegrityError,
    StorageError,
    UnauthorizedError,
)
from airgap.oci.digest import Digest

_PIPE_SIZE = 1 << 20
_ROOT = Path(__file__).resolve().parents[2]
"""Where the package lies: the child imports it from there, whatever this process began with."""
_AGAIN = "copy it again from where it is whole; airgap verify bundle says what is damaged"


@dataclass(frozen=True, slots=True)
class Encrypted:
    """What was written.

    Attributes:
        size: The bytes of the encrypted file.
        block: How many of them each checksum covers; the last one covers the rest.
        blocks: What each block hashes to.
    """

    size: int
    block: int
    blocks: tuple[Digest, ...]


class EncryptingStream:
    """Takes plain bytes in order and writes them encrypted to a file.

    Args:
        fd: The file, empty; it stays open here, and locks on it are held until the child ended.
        recipients: Who can read it.
        name: What it is called in messages.

    Raises:
        StorageError: The child could not be started.
    """

    def __init__(self, fd: int, recipients: Recipients, *, name: str) -> None:
        self._name = name
        self._child = _start("encrypt", fd, {"recipients": recipients.lines}, name=name)
        self._input = _pipe(self._child.stdin)

    @property
    def pid(self) -> int:
        """The process that does the work."""
        return self._child.pid

    def write(self, data: bytes | memoryview, /) -> int:
        """Take bytes, and wait where the medium is slower.

        Raises:
            StorageFullError: There is no room.
            StorageError: The file could not be written, or the child ended.
        """
        try:
            return os.write(self._input.fileno(), data)
        except BrokenPipeError as error:
            self._collect()
            raise self._ended() from error

    def flush(self) -> None:
        """Nothing is held back here."""

    def finish(self) -> Encrypted:
        """Wait until all bytes are durable.

        Raises:
            StorageFullError: There is no room.
            StorageError: The file could not be written, or the child ended.
        """
        report = self._collect()
        blocks = tuple(Digest("sha256", text) for text in report["blocks"])
        return Encrypted(report["size"], BLOCK, blocks)

    def close(self) -> None:
        """End the child. What it wrote is of no use unless it finished."""
        _end(self._child)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _collect(self) -> dict[str, Any]:
        with suppress(BrokenPipeError):
            self._input.close()
        report = _report(self._child, name=self._name)
        if report is None:
            raise self._ended()
        if "error" in report:
            raise StorageError(
                f"{self._name}: it could not be encrypted: {report.get('message')}", origin="local"
            )
        return report

    def _ended(self) -> StorageError:
        status = self._child.returncode
        how = f"signal {signal.Signals(-status).name}" if status and status < 0 else f"{status}"
        return StorageError(
            f"{self._name}: the process that encrypts it ended with {how}",
            hint="run the same command again",
            origin="local",
        )


class DecryptingStream:
    """Gives the plain bytes of an encrypted file in order; nothing of them touches a disk.

    That all were there is known only when `read` gave nothing any more.

    Args:
        source: The encrypted file.
        identities: Who reads it.
        name: What it is called in messages.
        size: How many bytes it should have, where that is known: it tells damage at the end from
            an end that is missing.

    Raises:
        StorageError: The child could not be started.
    """

    def __init__(
        self, source: BinaryIO, identities: Identities, *, name: str, size: int | None = None
    ) -> None:
        self._name = name
        with storage_errors(name):
            self._is_whole = size is not None and os.fstat(source.fileno()).st_size >= size
        keys = {"identities": identities.texts}
        self._child = _start("decrypt", source.fileno(), keys, name=name)
        with suppress(BrokenPipeError):
            _pipe(self._child.stdin).close()
        self._output = _pipe(self._child.stdout)
        self._is_over = False

    @property
    def pid(self) -> int:
        """The process that does the work."""
        return self._child.pid

    def read(self, size: int = -1, /) -> bytes:
        """Give the next bytes; none at the end.

        Raises:
            UnauthorizedError: It is encrypted to somebody else.
            BundleFormatError: It is no age file.
            IntegrityError: It is damaged.
            IncompleteBundleError: It ends too early.
            StorageError: It cannot be read.
        """
        if self._is_over:
            return b""
        data = os.read(self._output.fileno(), size if size > 0 else _PIPE_SIZE)
        if not data:
            self._finish()
            self._is_over = True
        return data

    def fileno(self) -> int:
        """The pipe that the plain bytes come through."""
        return self._output.fileno()

    def close(self) -> None:
        """End the child."""
        _end(self._child)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _finish(self) -> None:
        report = _report(self._child, name=self._name)
        if report is None:
            raise StorageError(
                f"{self._name}: the process that decrypts it ended with {self._child.returncode}",
                hint="run the same command again",
                origin="local",
            )
        if "error" in report:
            raise self._wrong(report["error"])

    def _wrong(self, kind: str) -> AirgapError:
        if kind == "identity":
            return UnauthorizedError(
                f"{self._name} is not encrypted to any of the given identities",
                hint="--identity takes the file of the secret key",
                origin="bundle",
            )
        if kind == "format":
            return BundleFormatError(
                f"{self._name} is not an age file",
                hint="a file in text form (armor) is not taken: age -d reads it",
                origin="bundle",
            )
        if kind in ("cut", "end") and not self._is_whole:
            is_sure = kind == "cut"
            return IncompleteBundleError(
                f"{self._name} ends too early" + ("" if is_sure else ", or is damaged at its end"),
                missing=("its end",),
                hint=_AGAIN,
            )
        return IntegrityError(f"{self._name} is damaged", hint=_AGAIN, origin="bundle")


def _start(work: str, fd: int, keys: dict[str, Any], *, name: str) -> subprocess.Popen[bytes]:
    with storage_errors(name):
        child = subprocess.Popen(  # noqa: S603 - this program itself, with no shell
            [sys.executable, "-m", "airgap.content.age_child", work, str(fd)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if work == "decrypt" else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(fd,),
            bufsize=0,
            cwd=_ROOT,
            process_group=0,  # Ctrl-C on the terminal is for airgap to pass on
        )
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            widen_pipe(pipe.fileno(), _PIPE_SIZE)
    view = memoryview(json.dumps(keys).encode() + b"\n")
    try:
        while view:
            view = view[os.write(_pipe(child.stdin).fileno(), view) :]
    except BrokenPipeError:
        pass  # how it ended is told when it is asked for its report
    return child


def _report(child: subprocess.Popen[bytes], *, name: str) -> dict[str, Any] | None:
    """What the child said at its end, once; None where it said nothing, or was ended.

    Raises:
        StorageError: The system refused it something.
    """
    raw = _pipe(child.stderr).read()
    child.wait()
    try:
        report = json.loads(raw.rpartition(b"\n")[2])
    except ValueError:
        return None
    if not isinstance(report, dict) or (child.returncode != 0 and "error" not in report):
        return None
    if report.get("error") == "system":
        number = int(report["errno"])
        raise storage_error(OSError(number, os.strerror(number)), name)
    return report


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.kill()
        child.wait()
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()


def _pipe(pipe: Any) -> BinaryIO:  # noqa: ANN401 - what subprocess has types for
    assert pipe is not None
    return pipe  # type: ignore[no-any-return]
