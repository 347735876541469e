"""What the server's modules log, as events: shown, written as JSON and kept like all others."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from airgap.run import Run
from airgap.run.events import Notice

_NAMES = ("airgap", "aiohttp")


class NoticeHandler(logging.Handler):
    """Hands records on as notices. An exception is told in short, and in full for `--verbose`."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run

    def emit(self, record: logging.LogRecord) -> None:
        """Hand one on."""
        code = record.name.rpartition(".")[2]
        message = record.getMessage()
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            message = f"{message}: {type(error).__name__}: {error}"
        self._run.emit(Notice(_level(record.levelno), code, message))
        if error is not None:
            for line in "".join(traceback.format_exception(error)).splitlines():
                self._run.debug(code, line)


@contextmanager
def logs_as_notices(run: Run) -> Iterator[None]:
    """Show what is logged while the context lasts."""
    handler = NoticeHandler(run)
    before: list[tuple[logging.Logger, int, bool]] = []
    for name in _NAMES:
        logger = logging.getLogger(name)
        before.append((logger, logger.level, logger.propagate))
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG if name == "airgap" else logging.WARNING)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, level, propagates in before:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagates


def _level(number: int) -> Literal["debug", "info", "warning"]:
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"
