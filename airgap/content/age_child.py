"""The process that encrypts or decrypts one file: pyrage holds the interpreter while it works.

Started as `python -m airgap.content.age_child encrypt|decrypt FD`. The keys come as the first line
on standard input, so that no list of processes and no environment shows them; what is encrypted
follows behind it. What is decrypted leaves on standard output. How it ended stands in JSON on
standard error. It imports little: there may be one for each core.
"""

from __future__ import annotations

import io
import json
import os
import queue
import sys
import threading
from typing import Any, BinaryIO

import pyrage

from airgap.content.age import BLOCK, MAGIC
from airgap.oci.digest import Hasher

_BUFFER = 1 << 20
_BUFFERS = 3
_SWITCH = 1e-4


class HashedFile:
    """Writes a file from its start and hashes each block, both in a thread of its own.

    Args:
        fd: The file.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._current = bytearray(_BUFFER)
        self._filled = 0
        self._free: queue.SimpleQueue[bytearray] = queue.SimpleQueue()
        self._full: queue.SimpleQueue[memoryview | None] = queue.SimpleQueue()
        for _ in range(_BUFFERS - 1):
            self._free.put(bytearray(_BUFFER))
        self._hasher = Hasher()
        self.size = 0
        self.blocks: list[str] = []
        self.error: OSError | None = None
        self._thread = threading.Thread(target=self._work, name="write", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> int:
        """Take the next bytes."""
        if self.error is not None:
            raise self.error
        view = memoryview(data)
        while view:
            part = view[: _BUFFER - self._filled]
            self._current[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            view = view[len(part) :]
            if self._filled == _BUFFER:
                self._hand_on()
        return len(data)

    def flush(self) -> None:
        """There is nothing to do before the end."""

    def finish(self) -> None:
        """Write what is left, and wait until the medium has all of it."""
        if self._filled:
            self._hand_on()
        self._full.put(None)
        self._thread.join()
        if self.error is None:
            try:
                os.fsync(self._fd)
            except OSError as error:
                self.error = error
        if self.error is not None:
            raise self.error
        if self._hasher.size:
            self.blocks.append(self._hasher.digest().hex)

    def _hand_on(self) -> None:
        self._full.put(memoryview(self._current)[: self._filled])
        self._current = self._free.get()
        self._filled = 0

    def _work(self) -> None:
        while (view := self._full.get()) is not None:
            if self.error is None:
                try:
                    self._store(view)
                except OSError as error:
                    self.error = error
            assert isinstance(view.obj, bytearray)
            self._free.put(view.obj)

    def _store(self, view: memoryview) -> None:
        self._hasher.update(view)
        if self._hasher.size == BLOCK:
            self.blocks.append(self._hasher.digest().hex)
            self._hasher = Hasher()
        self.size += len(view)
        while view:
            view = view[os.write(self._fd, view) :]


class _Encrypted:
    """The encrypted file as pyrage reads it; keeps the error, which pyrage makes a text of."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.error: OSError | None = None
        self.is_over = False

    def read(self, size: int = -1) -> bytes:
        try:
            data = self._stream.read(size)
        except OSError as error:
            self.error = error
            raise
        self.is_over = self.is_over or (size > 0 and len(data) < size)
        return data


class _Plain:
    """Standard output; says so when nobody reads it any more."""

    def __init__(self) -> None:
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(1, view) :]
        except OSError as error:
            self.error = error
            raise
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""


def encrypt(keys: dict[str, Any], plain: BinaryIO, fd: int) -> dict[str, Any]:
    """Encrypt all of a stream into a file; what is returned is the report."""
    recipients = [recipient(line) for line in keys["recipients"]]
    file = HashedFile(fd)
    try:
        pyrage.encrypt_io(plain, file, recipients)
        file.finish()
    except (OSError, pyrage.EncryptError) as error:
        failed = file.error or (error if isinstance(error, OSError) else None)
        return _failed(failed) if failed else {"error": "failed", "message": str(error)}
    return {"size": file.size, "blocks": file.blocks}


def decrypt(keys: dict[str, Any], fd: int) -> dict[str, Any]:
    """Decrypt a file to standard output; what is returned is the report."""
    identities = [identity(text) for text in keys["identities"]]
    with io.BufferedReader(io.FileIO(fd, closefd=False), _BUFFER) as stream:
        source, plain = _Encrypted(stream), _Plain()
        try:
            beginning = stream.peek(len(MAGIC))[: len(MAGIC)]
            if not MAGIC.startswith(beginning):
                return {"error": "format"}
            pyrage.decrypt_io(source, plain, identities)
        except (OSError, pyrage.DecryptError) as error:
            failed = source.error or plain.error
            return _failed(failed) if failed else {"error": _kind(error, source)}
    return {}


def recipient(line: str) -> object:
    """A recipient as pyrage has it.

    Raises:
        pyrage.RecipientError: It is none.
    """
    kind = pyrage.ssh if line.startswith("ssh-") else pyrage.x25519
    return kind.Recipient.from_str(line)


def identity(text: str) -> object:
    """An identity as pyrage has it.

    Raises:
        pyrage.IdentityError: It is none.
    """
    if text.startswith("-----BEGIN"):
        return pyrage.ssh.Identity.from_buffer(text.encode())
    return pyrage.x25519.Identity.from_str(text)


def _failed(error: OSError) -> dict[str, Any]:
    return {"error": "system", "errno": error.errno}


def _kind(error: Exception, source: _Encrypted) -> str:
    """What is wrong with a file; only the texts of pyrage tell it apart."""
    text = str(error)
    if "No matching keys" in text:
        return "identity"
    if "Incomplete header" in text or "fill whole buffer" in text or "truncated" in text:
        return "cut"
    # The last chunk is bound to its place: one that became the last does not open.
    return "end" if source.is_over else "damaged"


def main(arguments: list[str]) -> int:
    """Do what the arguments say, and report it."""
    work, fd = arguments[0], int(arguments[1])
    # The thread that writes would wait for the interpreter five times as long as it then works.
    sys.setswitchinterval(_SWITCH)
    with open(0, "rb", buffering=_BUFFER, closefd=False) as stdin:
        line = stdin.readline()
        if not line.endswith(b"\n"):  # whoever started this is gone
            return 1
        keys = json.loads(line)
        report = encrypt(keys, stdin, fd) if work == "encrypt" else decrypt(keys, fd)
    with open(2, "wb", closefd=False) as stderr:
        stderr.write(b"\n" + json.dumps(report).encode())
    return 1 if "error" in report else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
