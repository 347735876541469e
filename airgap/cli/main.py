"""The entry of the command line, and the only place that ends the process."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from airgap.cli.invocation import Invocation
from airgap.cli.output import Output
from airgap.cli.tree import airgap
from airgap.cli.visible import visible
from airgap.errors import AirgapError, CancelledError, ExitCode, SettingsError

if TYPE_CHECKING:  # start-up is quick because little is loaded
    from types import FrameType

    from airgap.run.cancel import CancelToken

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def main() -> None:
    """Run the command line and exit with a documented code."""
    code = run(sys.argv[1:])
    gc.freeze()  # the process ends: nothing is gained by looking for garbage in all that was loaded
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command.

    Args:
        arguments: What stands behind the program's name.

    Returns:
        The exit code (docs/exit-codes.md).
    """
    _fill_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks must not end the run.
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(errors="backslashreplace")
    invocation = Invocation(cancel_on_signals)
    try:
        return _call(invocation, list(arguments))
    except AirgapError as error:
        return _failed(invocation, error)
    except Exception as error:  # noqa: BLE001 (whatever is not an AirgapError is a bug, and says so)
        return _bug(invocation, error)


def _fill_closed_streams() -> None:
    """Put something in the place of standard streams that the caller closed (`>&-`).

    A bundle must never be opened under their numbers, where a message could be written into it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # the lowest free number is taken: the closed one
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _call(invocation: Invocation, arguments: list[str]) -> int:
    try:
        code = airgap.main(arguments, prog_name="airgap", standalone_mode=False, obj=invocation)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return ExitCode.USAGE
    except click.UsageError as error:
        from airgap.cli.settings import wants_json  # only for errors

        invocation.is_json = invocation.is_json or wants_json(arguments)
        path = error.ctx.command_path if error.ctx else "airgap"
        message = " ".join(error.format_message().split())
        raise SettingsError(message, hint=f"`{path} --help` lists what there is") from error
    except click.ClickException as error:
        message = " ".join(error.format_message().split())
        raise SettingsError(message, hint="`airgap --help` lists what there is") from error
    except (click.Abort, KeyboardInterrupt) as error:
        raise CancelledError("interrupted") from error
    except OSError:
        # What click could not print (help, the version) waits in the stream and fails once more.
        Output(sys.stdout).flush()
        raise
    return code if isinstance(code, int) else ExitCode.OK


def _failed(invocation: Invocation, error: AirgapError) -> int:
    try:
        invocation.show_error(error)
    except AirgapError:  # there is nowhere left to say it; the code still does
        return error.exit_code
    return error.exit_code


def _bug(invocation: Invocation, error: Exception) -> int:
    import traceback  # only here

    stderr = Output(sys.stderr)
    try:
        for line in "".join(traceback.format_exception(error)).splitlines():
            stderr.write(visible(line))
    except AirgapError:  # standard error is gone
        return ExitCode.FAILURE
    return _failed(
        invocation,
        AirgapError(
            f"unexpected {type(error).__name__}: this is a bug in airgap",
            hint="please report it with the lines above and what you ran",
        ),
    )


@contextmanager
def cancel_on_signals(token: CancelToken) -> Iterator[None]:
    """Cancel a run at the first SIGINT or SIGTERM; leave at once at the second.

    The handler sets an attribute and nothing else: locks and buffered output can hang there.
    """
    has_asked = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal has_asked
        if has_asked:
            if os.isatty(2):
                os.write(2, b"\r\x1b[J")  # what is left of the bars
            os._exit(ExitCode.INTERRUPTED)
        has_asked = True
        token.cancel()

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
