"""Real software: where it is found, how it is run, and how a daemon is started and stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest

ROOT = Path(__file__).parents[2]
START_SECONDS = 60
TRUST_ANYTHING = '{"default": [{"type": "insecureAcceptAnything"}]}'
"""A policy of podman and skopeo that asks for no signatures."""

# Read while tests are collected: later every test has a home of its own.
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "airgap-ci"
_IS_REQUIRED = os.environ.get("AIRGAP_COMPAT") == "require"
_CONTAINERD2 = Path(os.environ.get("AIRGAP_COMPAT_CONTAINERD2") or _CACHE / "containerd2")
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def lacking(reason: str) -> Any:
    """Skip the test, or fail it where everything has to be there (AIRGAP_COMPAT=require)."""
    if _IS_REQUIRED:
        pytest.fail(f"AIRGAP_COMPAT=require, but {reason}", pytrace=False)
    pytest.skip(reason)


def find(name: str, *, folder: Path | None = None) -> str:
    """Find a program: on PATH, or where `.ci/run` puts what it builds."""
    if folder is not None:
        found = shutil.which(name, path=str(folder))
    else:
        found = shutil.which(name, path=_PATH) or shutil.which(name, path=str(_CACHE / "bin"))
    return found or lacking(f"{name} is not installed; `.ci/run install` does that")


def find_containerd2(name: str) -> str:
    """Find a program of containerd 2, which stands beside that of the distribution."""
    return find(name, folder=_CONTAINERD2)


def need_root(what: str) -> None:
    """Say that something needs root."""
    if os.geteuid() != 0:
        lacking(f"{what} needs root")


@dataclass(frozen=True)
class Done:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """What it printed, without empty lines."""
        return [line for line in self.out.splitlines() if line.strip()]

    @property
    def json(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)

    @property
    def result(self) -> Any:
        """The last line that it printed, as JSON: the result of airgap with `--json`."""
        return json.loads(self.lines[-1])


@dataclass(frozen=True)
class Program:
    """A program with what stands before its arguments, and the environment it gets.

    Nothing of whoever runs the tests reaches it: neither home nor settings nor credentials.

    Attributes:
        command: The program and its first arguments.
        home: Its home and its current folder.
        environment: What it finds in the environment beside what every program needs.
        seconds: How long it may take.
    """

    command: tuple[str, ...]
    home: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 120

    @property
    def full_environment(self) -> dict[str, str]:
        """The whole environment."""
        path = os.pathsep.join([_PATH, str(_CACHE / "bin")])
        home = {"PATH": path, "HOME": str(self.home), "LC_ALL": "C.UTF-8"}
        return home | dict(self.environment)

    def attempt(self, *arguments: object, stdin: IO[bytes] | None = None) -> Done:
        """Run it, whatever comes of it."""
        done = subprocess.run(
            [*self.command, *map(str, arguments)],
            cwd=self.home,
            env=self.full_environment,
            stdin=stdin or subprocess.DEVNULL,
            capture_output=True,
            timeout=self.seconds,
        )
        return Done(
            done.returncode,
            done.stdout.decode(errors="replace"),
            done.stderr.decode(errors="replace"),
        )

    def run(self, *arguments: object, code: int = 0, stdin: IO[bytes] | None = None) -> Done:
        """Run it, and fail the test where it ends with another code."""
        done = self.attempt(*arguments, stdin=stdin)
        if done.code != code:
            shown = " ".join([*self.command, *map(str, arguments)])
            pytest.fail(f"{shown}\ngave {done.code} instead of {code}:\n{done.out}\n{done.err}")
        return done


def airgap(home: Path) -> Program:
    """Our own command line, as a process of its own."""
    return Program((sys.executable, "-m", "airgap"), home, {"PYTHONPATH": str(ROOT)})


@contextmanager
def daemon(
    command: Sequence[object],
    *,
    is_ready: Callable[[], bool],
    home: Path,
    log: Path,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a daemon until the context ends.

    Raises:
        RuntimeError: It ended before it was ready, or did not become ready.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=home,
            env=Program((), home).full_environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        _await(process, is_ready, log)
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes], *, seconds: float = 15) -> None:
    """End a process that was started here, and wait for its end."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _await(process: subprocess.Popen[bytes], is_ready: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if is_ready():
            return
        time.sleep(0.05)
    tail = log.read_text(errors="replace")[-2000:]
    raise RuntimeError(f"{process.args} did not start (code {process.poll()}):\n{tail}")
