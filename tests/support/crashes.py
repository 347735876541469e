"""Ending a run at one of its steps the hard way: in a process of its own that just stops.

A step is a call that changes or syncs a file. What is left is what `kill -9` leaves, or what a
power cut leaves of it: only what was synced.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

STEPS = ("pwrite", "fdatasync", "fsync", "ftruncate", "posix_fallocate", "replace", "unlink")
Left = Literal["all", "synced", "journal", "data"]
"""What a crash leaves: all that was written, only what was synced, or all of the journal or of the
data and of the other what was synced."""

_CRASHED = 9


def crash_points(
    work: Callable[[], None], folder: Path, left: Left, *, every: int = 1
) -> Iterator[int]:
    """Run work in processes that end at one step after the other, until one does it to its end.

    The caller puts the folder back to its first state between two of them, or looks at what is
    left in it.
    """
    for step in range(0, 5000, every):
        if not _dies_at(step, work, folder, left):
            return
        yield step
    raise AssertionError("the work has no end")


def _dies_at(step: int, work: Callable[[], None], folder: Path, left: Left) -> bool:
    child = os.fork()
    if child == 0:
        code = 70
        try:
            _Countdown(step, folder, left).start()
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, _CRASHED), f"the process failed by itself at step {step}"
    return code == _CRASHED


class _Countdown:
    def __init__(self, steps: int, folder: Path, left: Left) -> None:
        self._left_steps = steps
        self._folder = folder
        self._left = left
        self._lock = threading.Lock()
        self._synced: dict[int, bytes] = {}
        self._real: dict[str, Any] = {}

    def start(self) -> None:
        for path in self._folder.iterdir():
            self._synced[path.stat().st_ino] = path.read_bytes()
        for name in STEPS:
            self._real[name] = getattr(os, name)
            setattr(os, name, self._counted(name))

    def _counted(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            with self._lock:
                if self._left_steps == 0:
                    if name == "pwrite":  # half of it gets there
                        fd, data, offset = args
                        self._real[name](fd, memoryview(data)[: len(data) // 2], offset)
                    self._crash()
                self._left_steps -= 1
                result = self._real[name](*args, **options)
                if name in ("fdatasync", "fsync"):
                    found = os.fstat(args[0])
                    self._synced[found.st_ino] = self._content(args[0], found.st_size)
                return result

        return call

    def _content(self, fd: int, size: int) -> bytes:
        try:
            return os.pread(fd, size, 0)
        except OSError:  # a folder, or a file that is open for writing only
            inode = os.fstat(fd).st_ino
            found = [p for p in self._folder.iterdir() if p.stat().st_ino == inode]
            return found[0].read_bytes() if found else b""

    def _crash(self) -> None:
        for path in self._folder.iterdir():
            kind = "journal" if "journal" in path.name else "data"
            if self._left not in ("all", kind):
                content = self._synced.get(path.stat().st_ino, b"")
                with path.open("r+b") as file:
                    file.truncate(0)
                    file.write(content)
        os._exit(_CRASHED)
