"""Runs airgap's command line in this process, as `main` does, and keeps what it wrote."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from airgap.cli.main import run


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one command came to."""

    code: int
    stdout: bytes
    err: str

    @property
    def out(self) -> str:
        """Standard output as text."""
        return self.stdout.decode()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Standard output as lines of JSON."""
        return [json.loads(line) for line in self.out.splitlines()]


class _Stream(io.TextIOWrapper):
    """A text stream over memory that may say it is a terminal."""

    def __init__(self, content: bytes = b"", *, terminal: bool = False) -> None:
        self.memory = io.BytesIO(content)
        self.terminal = terminal
        super().__init__(self.memory, encoding="utf-8", newline="")

    def isatty(self) -> bool:
        return self.terminal


def airgap(*arguments: object, stdin: bytes = b"", terminal: bool = False) -> Outcome:
    """Run one command.

    Args:
        arguments: What stands behind the program's name.
        stdin: What standard input gives.
        terminal: Whether all three streams say that they are a terminal.
    """
    streams = [_Stream(content, terminal=terminal) for content in (stdin, b"", b"")]
    with (
        patch.object(sys, "stdin", streams[0]),
        patch.object(sys, "stdout", streams[1]),
        patch.object(sys, "stderr", streams[2]),
    ):
        code = run([str(argument) for argument in arguments])
    for stream in streams:
        stream.flush()
    return Outcome(int(code), streams[1].memory.getvalue(), streams[2].memory.getvalue().decode())


def assert_refused(done: Outcome, code: int, kind: str, *said: str) -> None:
    """Exactly an error line and at most a hint, with no traceback."""
    lines = done.err.splitlines()
    assert done.code == code, done.err
    assert lines[-1 if len(lines) == 1 else -2].startswith(f"error[{kind}]: "), done.err
    assert len(lines) <= 2
    assert done.out == ""
    for text in said:
        assert text in done.err
