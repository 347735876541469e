"""A folder that one process uses at a time."""

from __future__ import annotations

import os
from pathlib import Path

from airgap.content.posix import lock, read_at, write_at
from airgap.content.storage import storage_errors
from airgap.errors import LockedError

_MAX_PID = 20


class FolderLock:
    """Holds a folder until it is closed or the process ends.

    Its file says who holds it, for the message that others get.

    Args:
        folder: The folder, which must exist.

    Raises:
        LockedError: Another process holds it; names which.
    """

    def __init__(self, folder: Path) -> None:
        self._fd: int | None = None
        with storage_errors(folder):
            fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if not lock(fd):
                    raise self._locked(folder, fd)
                os.ftruncate(fd, 0)
                write_at(fd, f"{os.getpid()}\n".encode(), 0)
            except BaseException:
                os.close(fd)
                raise
        self._fd = fd

    @staticmethod
    def _locked(folder: Path, fd: int) -> LockedError:
        pid = read_at(fd, _MAX_PID, 0).decode("ascii", "replace").strip()
        who = f"process {pid}" if pid.isdigit() else "another process"
        return LockedError(f"{folder} is used by {who}", hint="end it, or use another folder")

    def close(self) -> None:
        """Let the folder go."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)
