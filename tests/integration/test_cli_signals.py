"""Ctrl-C and SIGTERM, as a shell sends them to a running command."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.scripted_server import Reply, ScriptedServer


@contextmanager
def started(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A command that runs, and is killed if the test forgets it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "airgap", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    guard = threading.Timer(30, process.kill)
    guard.start()
    try:
        yield process
    finally:
        guard.cancel()
        process.kill()
        process.communicate()


def until(stream: Iterator[str], text: str) -> str:
    """Read lines until one holds a text."""
    for line in stream:
        if text in line:
            return line
    raise AssertionError(f"{text!r} never came")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_between_steps(number: signal.Signals, tmp_path: Path) -> None:
    """A run that waits to try again stops at once, says how to go on, and exits with 130."""
    with ScriptedServer() as server:
        server.on("GET", ".*").reply(Reply(503, {"Retry-After": "60"}))
        with started(
            "export", "images", f"{server.host}/a:1", "-o", tmp_path / "b.tar", "--verbose"
        ) as process:
            until(process.stderr, "retry: ")
            process.send_signal(number)
            until(process.stderr, "warning: stopping; everything is kept")
            until(process.stderr, "error[cancelled]: ")
            assert "run the same command again" in until(process.stderr, "hint: ")
            assert process.wait(timeout=20) == 130
    assert not (tmp_path / "b.tar").exists()


def test_the_second_signal_leaves_at_once(tmp_path: Path) -> None:
    """A run that hangs in a read is left with 130 when it is interrupted twice."""
    with ScriptedServer() as server:
        header = {"Content-Type": "application/vnd.oci.image.index.v1+json"}
        server.on("GET", ".*").reply(Reply(200, header, b"{" + b" " * 99, stall_after=1))
        with started(
            "export", "images", f"{server.host}/a:1", "-o", tmp_path / "b.tar", "--json"
        ) as process:
            until(process.stdout, "phase-started")
            deadline = time.monotonic() + 20
            while not server.requests() and time.monotonic() < deadline:
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            line = json.loads(until(process.stdout, '"stopping"'))
            assert (line["type"], line["code"]) == ("notice", "stopping")
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=5) == 130


def test_an_interruption_is_the_last_line_of_json(tmp_path: Path) -> None:
    """With --json an interrupted run ends with an error line of its code."""
    with ScriptedServer() as server:
        server.on("GET", ".*").reply(Reply(503, {"Retry-After": "60"}))
        with started(
            "export", "images", f"{server.host}/a:1", "-o", tmp_path / "b.tar", "--json"
        ) as process:
            until(process.stdout, "retry-scheduled")
            process.send_signal(signal.SIGINT)
            last = process.stdout.read().splitlines()[-1]
            assert process.wait(timeout=20) == 130
    assert json.loads(last)["code"] == "cancelled"
    assert json.loads(last)["exit"] == 130


def test_handlers_are_put_back(tmp_path: Path) -> None:
    """After a command in this process, signals do what they did before."""
    from tests.support.command_line import airgap

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    airgap("inspect", "bundle", tmp_path / "none")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
