"""Asking for the next medium: on a terminal, by a line of JSON, or by a command that fetches it."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from airgap.cli.options import Command, all_of
from airgap.cli.output import Output
from airgap.content.posix import has_input
from airgap.errors import SettingsError, StorageError
from airgap.run.cancel import CancelToken
from airgap.run.events import MediumWanted

if TYPE_CHECKING:
    from airgap.cli.session import Session
    from airgap.run import Run

_MISSING = "AIRGAP_MISSING_VOLUMES"
_SLICE = 0.1
"""Seconds that a question may stay open after Ctrl-C."""


def media_options(command: Command) -> Command:
    """Add `--state` and `--next-command`."""
    return all_of(
        click.option(
            "--state",
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="Where is kept what is needed between media (default: the user's state folder).",
        ),
        click.option(
            "--next-command",
            metavar="COMMAND",
            help=f"What the shell runs to have the next medium; ${_MISSING} says what is missing.",
        ),
    )(command)


def check_next_command(command: str | None) -> None:
    """See that a command is one.

    Raises:
        SettingsError: It is empty.
    """
    if command is not None and not command.strip():
        raise SettingsError("--next-command is empty", hint="give what the shell can run")


def between_media(
    session: Session,
    run: Run,
    state: Path | None,
    next_command: str | None,
    *,
    action: Literal["read", "write"],
) -> tuple[Path, MediaPrompt]:
    """Where is kept what is needed between media, and what asks for the next one.

    Args:
        session: The command.
        run: Its run.
        state: What `--state` says.
        next_command: What `--next-command` says.
        action: What is done with the media.
    """
    prompt = MediaPrompt(
        next_command,
        action=action,
        is_json=session.settings.json,
        cancel=run.cancel,
        before=session.show_events,
    )
    return state or session.settings.environment.state_folder, prompt


class MediaPrompt:
    """Asks for the next medium, and waits until it is there.

    Args:
        command: What the shell runs between media; it ends with an error where none will come.
        action: What is done with the medium.
        is_json: Whether events go out as JSON: whoever reads them answers with a line.
        cancel: Ends the question at a terminal; else it is checked once somebody answered.
        before: Called before somebody at a terminal is asked.
    """

    def __init__(
        self,
        command: str | None,
        *,
        action: Literal["read", "write"],
        is_json: bool,
        cancel: CancelToken,
        before: Callable[[], None],
    ) -> None:
        self._command = command
        self._action = action
        self._is_json = is_json
        self._cancel = cancel
        self._before = before

    def __call__(self, wanted: MediumWanted, /) -> bool:
        """Ask; False where no further medium will come."""
        if self._command is not None:
            has_come = self._run(self._command, wanted)
        elif self._is_json:
            has_come = bool(sys.stdin.readline())
        else:
            has_come = self._ask(wanted)
        self._cancel.check()
        return has_come

    def _run(self, command: str, wanted: MediumWanted) -> bool:
        missing = " ".join(map(str, wanted.missing))
        import subprocess  # only where media are changed by a program

        # The user's own command line: pipes and variables are meant to work as in their shell.
        line = ["/usr/bin/env", f"{_MISSING}={missing}", "/bin/sh", "-c", command]
        try:
            done = subprocess.run(  # noqa: S603 - what the user asked for, word by word
                line, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
        except OSError as error:
            raise StorageError(
                f"--next-command cannot be run: {error.strerror or error}",
                hint="check that /bin/sh is there, and how long the command is",
                origin="local",
            ) from error
        return done.returncode == 0

    def _ask(self, wanted: MediumWanted) -> bool:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        shown = ", ".join(map(str, wanted.missing[:10]))
        more = " …" if len(wanted.missing) > 10 else ""
        plural = "s" if len(wanted.missing) > 1 else ""
        if not wanted.missing:
            text = "put in an empty medium for the rest of the parity"
        elif self._action == "read":
            text = f"put in a medium with volume{plural} {shown}{more} of {wanted.volumes}"
        else:
            text = f"put in an empty medium for volume{plural} {shown}{more} of {wanted.volumes}"
        self._before()
        Output(sys.stderr).write(f"{text}, then press Enter (Ctrl-D ends)")
        # A signal does not end a readline, which goes on where it was.
        while not _has_answer(_SLICE):
            self._cancel.check()
        return bool(sys.stdin.readline())


def _has_answer(seconds: float) -> bool:
    try:
        terminal = sys.stdin.fileno()
    except io.UnsupportedOperation:  # input from memory never waits
        return True
    return has_input(terminal, seconds)
