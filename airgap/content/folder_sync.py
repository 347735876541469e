"""Makes the names in a folder durable, one sync for all who wait for one."""

from __future__ import annotations

import threading
from pathlib import Path

from airgap.content.posix import sync_folder
from airgap.content.storage import storage_errors


class FolderSync:
    """Syncs one folder.

    A sync speaks only for names that were there when it began. So who comes while one runs waits
    for the next one, and that one does for everybody who waits.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._changed = threading.Condition()
        self._is_running = False
        self._begun = 0
        self._done = 0

    def sync(self) -> None:
        """Return once the names that are in the folder now are durable.

        Raises:
            StorageError: They could not be made so.
        """
        with self._changed:
            wanted = self._begun + 1
            while self._done < wanted:
                if self._is_running:
                    self._changed.wait()
                else:
                    self._run()

    def _run(self) -> None:
        """Do one sync with the lock let go."""
        self._is_running = True
        self._begun += 1
        number, is_done = self._begun, False
        self._changed.release()
        try:
            with storage_errors(self._folder):
                sync_folder(self._folder)
            is_done = True
        finally:
            self._changed.acquire()
            self._is_running = False
            if is_done:
                self._done = number
            self._changed.notify_all()
