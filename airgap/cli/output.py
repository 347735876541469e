"""Where results go: a stream that may end before we do."""

from __future__ import annotations

import os
from typing import TextIO

from airgap.errors import StorageError


class Output:
    """Lines on standard output, or on standard error while a bundle goes to standard output.

    Whoever reads them may stop reading (`| head`): the work goes on then, and the rest of the
    lines is dropped. Any other failure to write is an error.

    Args:
        stream: Where lines go.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_open = True

    @property
    def is_open(self) -> bool:
        """Whether lines still go anywhere."""
        return self._is_open

    @property
    def is_terminal(self) -> bool:
        """Whether somebody looks at it."""
        return self._is_open and self._stream.isatty()

    def flush(self) -> None:
        """Hand on what others wrote to the stream: click prints help itself.

        Raises:
            StorageError: It could not be written.
        """
        self._hand_on("")

    def write(self, line: str) -> None:
        """Write a line and hand it on at once.

        Raises:
            StorageError: It could not be written.
        """
        if self._is_open:
            self._hand_on(line if line.endswith("\n") else f"{line}\n")

    def write_bytes(self, data: bytes) -> None:
        """Write bytes as they are.

        Raises:
            StorageError: They could not be written.
        """
        if self._is_open:
            self._hand_on(data)

    def _hand_on(self, content: str | bytes) -> None:
        try:
            if isinstance(content, bytes):
                self._stream.buffer.write(content)
            else:
                self._stream.write(content)
            self._stream.flush()
        except BrokenPipeError:
            self._drop()
        except OSError as error:
            self._drop()
            raise StorageError(
                f"the output could not be written: {error.strerror or error}",
                hint="look at where standard output goes",
                origin="local",
            ) from error

    def _drop(self) -> None:
        # What is still buffered would fail once more when the interpreter ends.
        self._is_open = False
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)
        except (OSError, ValueError):  # a stream of a test has no descriptor
            return
