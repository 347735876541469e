"""One call of the command line: where its output goes and how its errors are shown."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from airgap.cli.output import Output
from airgap.cli.visible import labelled, visible
from airgap.errors import AirgapError, MissingBaseError, PartialError, UnsignedImagesError

if TYPE_CHECKING:  # start-up is quick because little is loaded
    from airgap.run.cancel import CancelToken

Signals = Callable[["CancelToken"], AbstractContextManager[None]]
"""Cancels the token when the process is told to stop."""

_RED, _CYAN = 31, 36


class Invocation:
    """What `main` hands to a command and gets back when it fails.

    Args:
        signals: How a run is told to stop.

    Attributes:
        output: Where results and JSON lines go.
        is_json: Whether results and errors are JSON.
        is_quiet: Whether results are not shown to people.
        has_color: Whether messages on a terminal may be coloured.
    """

    def __init__(self, signals: Signals) -> None:
        self.signals = signals
        self.output = Output(sys.stdout)
        self.is_json = False
        self.is_quiet = False
        self.has_color = True
        self._has_shown_result = False

    def use_stderr(self) -> None:
        """Keep standard output free for a bundle."""
        self.output = Output(sys.stderr)

    def show_result(self, command: str, result: object, lines: Callable[[], Iterable[str]]) -> None:
        """Show what came of a command: as JSON, or as lines for people unless they want none.

        Raises:
            StorageError: It could not be written.
        """
        self._has_shown_result = self.is_json or not self.is_quiet
        if self.is_json:
            from airgap.cli.jsonlines import result_line  # only where JSON is wanted

            self.output.write(result_line(result, command=command))
        elif not self.is_quiet:
            for line in lines():
                self.output.write(visible(line))

    def show_error(self, error: AirgapError) -> None:
        """Say what went wrong: two lines for people, or the last line of JSON.

        Where JSON cannot be written any more, people are told.
        """
        if self.is_json and self._has_written(error):
            return
        is_colored = self.has_color and sys.stderr.isatty()
        stderr = Output(sys.stderr)
        if isinstance(error, PartialError | UnsignedImagesError | MissingBaseError):
            for line in () if self._has_shown_result else error.failed:
                stderr.write(visible(f"failed: {line}"))
        label = f"error[{error.code}]"
        stderr.write(labelled(label, error.message, color=_RED if is_colored else None))
        if error.hint:
            stderr.write(labelled("hint", error.hint, color=_CYAN if is_colored else None))

    def _has_written(self, error: AirgapError) -> bool:
        from airgap.cli.jsonlines import error_line  # only where JSON is wanted

        try:
            self.output.write(error_line(error))
        except AirgapError:
            return False
        return self.output.is_open
