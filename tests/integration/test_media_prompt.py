"""The question for the next medium, at a real terminal."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.embedded import EmbeddedRegistry

VOLUME = Path(__file__).parents[1] / "format" / "volumes-v1" / "bundle.001.tar"


class Terminal:
    """A command that runs at a terminal of its own."""

    def __init__(self, *arguments: object) -> None:
        self._controller, terminal = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "airgap", *map(str, arguments)],
            stdin=terminal,
            stdout=subprocess.DEVNULL,
            stderr=terminal,
        )
        os.close(terminal)
        self._guard = threading.Timer(30, self.process.kill)
        self._guard.start()

    def until(self, text: str) -> str:
        """Read until a text has come."""
        said = b""
        while text.encode() not in said:
            said += os.read(self._controller, 4096)
        return said.decode()

    def rest(self) -> str:
        """Read until the command has ended."""
        said = b""
        try:
            while more := os.read(self._controller, 4096):
                said += more
        except OSError:  # how Linux says that nobody holds the terminal any more
            pass
        return said.decode()

    def write(self, data: bytes) -> None:
        """Press keys."""
        os.write(self._controller, data)

    def close(self) -> None:
        """End what still runs."""
        self._guard.cancel()
        self.process.kill()
        self.process.wait()
        os.close(self._controller)


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Terminal]:
    """An import that has one volume and asks for the next."""
    with EmbeddedRegistry() as inside:
        terminal = Terminal(
            "import", "bundle", VOLUME, "--to", inside.host, "--state", tmp_path / "state"
        )
        try:
            terminal.until("press Enter (Ctrl-D ends)")
            yield terminal
        finally:
            terminal.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_question(asked: Terminal, number: signal.Signals) -> None:
    """Ctrl-C needs no Enter behind it."""
    asked.process.send_signal(number)
    assert "error[cancelled]:" in asked.rest()
    assert asked.process.wait(timeout=20) == 130


def test_what_was_found_is_told_before_the_question(asked: Terminal) -> None:
    """Whoever presses Enter without another medium reads why they are asked again."""
    asked.write(b"\n")
    said = asked.until("press Enter (Ctrl-D ends)")
    assert said.index("brought nothing that was missing") < said.index("put in a medium")


def test_ctrl_d_ends_the_import(asked: Terminal) -> None:
    """What is still to come is said."""
    asked.write(b"\x04")
    assert "still to come" in asked.rest()
    assert asked.process.wait(timeout=20) == 23
