"""How runs end: what the log, the result and the error say when not all went well."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from airgap.cli.console import Console
from airgap.cli.invocation import Invocation
from airgap.cli.progress import BarDisplay, Display, LineDisplay
from airgap.cli.session import Session
from tests.support import builders
from tests.support.command_line import airgap
from tests.support.embedded import Drop, EmbeddedRegistry

needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def registry() -> Iterator[EmbeddedRegistry]:
    """A registry with an image."""
    with EmbeddedRegistry() as found:
        builders.push(found.repository("app"), builders.image(layers=(400_000,)), tag="1")
        yield found


def logged(path: Path) -> list[dict[str, Any]]:
    """The lines of a log."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def onto_full(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command whose standard output takes nothing."""
    with Path("/dev/full").open("w") as full:
        return subprocess.run(
            [sys.executable, "-m", "airgap", *map(str, arguments)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )


def test_the_log_of_a_partial_run_ends_with_its_error(
    registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    """A run that only did part of its work has an error line with exit 3, and is not finished."""
    log, path = tmp_path / "log", tmp_path / "b.tar"
    names = (f"{registry.host}/app:1", f"{registry.host}/nope:1")
    for dry in ((), ("--dry-run",)):
        command = ("export", "images", *names, "-o", path, "--keep-going", "--log-file", log)
        done = airgap(*command, *dry, "--overwrite")
        assert done.code == 3
        assert "bundle id: " in done.out
        last = logged(log)[-1]
        assert (last["type"], last["code"], last["exit"]) == ("error", "partial", 3)
        assert "finished" not in {line["type"] for line in logged(log)}


def test_the_log_of_a_partial_import_ends_with_its_error(
    registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    """An import that left something out says so in its log, too."""
    path, log = tmp_path / "b.tar", tmp_path / "log"
    assert airgap("export", "images", f"{registry.host}/app:1", "-o", path).code == 0
    builders.push(registry.repository("x/app"), builders.chart(), tag="1")
    to = ("--to", f"{registry.host}/x", "--keep-going", "--log-file", log)
    assert airgap("import", "bundle", path, *to).code == 3
    assert [line["type"] for line in logged(log)][-1] == "error"


def test_the_log_of_a_good_run_ends_with_its_exit_code(
    registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    """The last line is `finished`, with exit 0."""
    log = tmp_path / "log"
    command = ("export", "images", f"{registry.host}/app:1", "-o", tmp_path / "b.tar")
    assert airgap(*command, "--log-file", log).code == 0
    assert logged(log)[-1] | {"type": "finished", "exit": 0} == logged(log)[-1]


def test_an_unfinished_file_is_called_so_before_all_else(
    registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    """A check of it begins with that, hints at the export, and keeps the order of exit codes."""
    path, log = tmp_path / "b.tar", tmp_path / "log"
    registry.fail(Drop(), path="/blobs/", times=100)
    command = ("export", "images", f"{registry.host}/app:1", "-o", path, "--retries", 0)
    assert airgap(*command).code == 12
    done = airgap("verify", "bundle", f"{path}.partial", "--log-file", log)
    first, hint = done.out.splitlines()[:2]
    assert first.startswith("unfinished: ")
    assert "never finished" in first
    assert "run the export again" in hint
    assert "digest-mismatch: " in done.out
    # a blob that was not begun yet has no header, either, and that is the worse finding
    code = 22 if "\nstructure: " in done.out else 20
    assert done.code == code
    assert "was never finished: " in done.err
    assert "hint: run the export again" in done.err
    assert logged(log)[-1]["exit"] == code


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_a_pipe_is_not_enough_where_a_file_is_read_at_many_places(command: str) -> None:
    """- is refused with what to do instead."""
    done = airgap(command, "bundle", "-", stdin=b"x")
    assert done.code == 2
    assert "needs a file" in done.err
    assert "airgap import bundle -" in done.err


def test_a_load_platform_that_images_lack_is_told(tmp_path: Path) -> None:
    """The warning names the images, and images that have it are not among them."""
    with EmbeddedRegistry() as registry:
        builders.push(registry.repository("multi"), builders.multi_platform(), tag="1")
        builders.push(registry.repository("single"), builders.image(), tag="1")
        names = (f"{registry.host}/multi:1", f"{registry.host}/single:1")
        command = ("export", "images", *names, "--overwrite", "-o", tmp_path / "b.tar")
        for dry in ((), ("--dry-run",)):
            done = airgap(*command, "--load-platform", "linux/s390x", *dry)
            assert done.code == 0
            assert done.err.startswith(f"warning: there is no linux/s390x of {names[0]}: ")
            assert len(done.err.splitlines()) == 1
        assert airgap(*command, "--load-platform", "linux/arm64").err == ""
        assert airgap(*command).err == ""


@needs_full
@pytest.mark.parametrize("arguments", ["--help", "--version", "export images --help"])
def test_help_that_cannot_be_written_is_an_error(arguments: str) -> None:
    """One line and a hint, exit code 30, and nothing of the interpreter's own."""
    done = onto_full(*arguments.split())
    assert done.returncode == 30
    assert done.stderr.startswith("error[storage]: the output could not be written: No space left")
    assert len(done.stderr.splitlines()) == 2


@needs_full
def test_json_that_cannot_be_written_is_told_on_standard_error(
    registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    """Neither a success nor an error goes under when nothing takes the lines."""
    path = tmp_path / "b.tar"
    assert airgap("export", "images", f"{registry.host}/app:1", "-o", path).code == 0
    done = onto_full("inspect", "bundle", path, "--json")
    assert done.returncode == 30
    assert done.stderr.startswith("error[storage]: the output could not be written: No space left")
    done = onto_full("inspect", "bundle", tmp_path / "none.tar", "--json")
    assert done.returncode == 10
    assert done.stderr.startswith("error[content-not-found]: ")


@pytest.mark.parametrize(("term", "kind"), [("xterm", BarDisplay), ("dumb", LineDisplay)])
def test_a_terminal_without_a_cursor_gets_lines(
    monkeypatch: pytest.MonkeyPatch, term: str, kind: type[Display]
) -> None:
    """TERM=dumb gets what a log gets, instead of bars that move a cursor."""
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(sys, "stderr", Terminal())
    session = Session(Invocation(lambda _: nullcontext()), {}, command="x")
    [console] = session._sinks(None)
    assert isinstance(console, Console)
    assert type(console._display) is kind
