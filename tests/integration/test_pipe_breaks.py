"""Both ends of a pipe as processes: whichever breaks, both say so, and nothing gets a name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from airgap.errors import ExitCode
from tests.support import builders
from tests.support.embedded import CutAnswer
from tests.support.transfers import assert_holds

SIZE = 4_000_000
MIDDLE = 2_000_000
WAIT = 60


@pytest.fixture
def image(outside):
    """An image far larger than what a pipe of the system holds."""
    made = builders.image(layers=(SIZE, 500_000))
    return builders.push(outside.repository("app"), made, tag="1")


@pytest.fixture
def start(tmp_path):
    """Starts airgap with everything that it may write to in folders of its own."""
    for name in ("home", "tmp", "work"):
        (tmp_path / name).mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    started = []

    def begin(*arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE):
        process = subprocess.Popen(
            [sys.executable, "-m", "airgap", *arguments, "--no-progress"],
            cwd=tmp_path / "work",
            env=environment,
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait(WAIT)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()


@pytest.fixture
def ends(start, outside, inside, image):
    """An export and an import, with the pipe between them in the hands of the test."""
    export = start("export", "images", f"{outside.host}/app:1", "-o", "-")
    bring = start("import", "bundle", "-", "--to", inside.host, stdin=subprocess.PIPE)
    return export, bring


def pass_on(export, bring, size):
    """Pass so many bytes from the one to the other."""
    while size:
        data = os.read(export.stdout.fileno(), min(size, 65_536))
        assert data, "the export ended early"
        size -= len(data)
        bring.stdin.write(data)
    bring.stdin.flush()


def said(process):
    """What a process that ends said, and its exit code."""
    errors = process.stderr.read().decode()
    return process.wait(WAIT), errors


def assert_nothing_is_named(inside):
    assert inside.count("PUT", "/manifests/") == 0
    assert inside.repository("app").resolve("1") is None


def test_a_writer_that_is_killed_leaves_no_tag(ends, inside):
    """The import ends with 23 and says that its input is cut short."""
    export, bring = ends
    pass_on(export, bring, MIDDLE)
    export.send_signal(signal.SIGKILL)
    assert export.wait(WAIT) == -signal.SIGKILL
    bring.stdin.close()
    code, errors = said(bring)
    assert code == ExitCode.INCOMPLETE
    assert "error[incomplete]: standard input is cut short" in errors
    assert_nothing_is_named(inside)


def test_a_reader_that_is_killed_ends_the_writer(ends, inside):
    """The export ends with 12 and says that the reader went away."""
    export, bring = ends
    pass_on(export, bring, MIDDLE)
    bring.send_signal(signal.SIGKILL)
    assert bring.wait(WAIT) == -signal.SIGKILL
    export.stdout.close()
    code, errors = said(export)
    assert code == ExitCode.UNAVAILABLE
    assert "error[unavailable]: the reader of the pipe went away" in errors
    assert_nothing_is_named(inside)


def test_a_writer_that_fails_in_the_middle_fails_both(start, outside, inside, image):
    """A source that breaks off ends the export with its own reason, and no seal is written."""
    layer = max(image.blobs, key=lambda found: found.descriptor.size).descriptor
    outside.fault = lambda seen: CutAnswer(after=MIDDLE) if layer.digest.hex in seen.path else None
    export = start(
        "export", "images", f"{outside.host}/app:1", "-o", "-", "--retries", "0", "--max-wait", "1s"
    )
    bring = start("import", "bundle", "-", "--to", inside.host, stdin=export.stdout)
    export.stdout.close()
    code, errors = said(export)
    assert code == ExitCode.UNAVAILABLE, errors
    assert "reader of the pipe" not in errors
    code, errors = said(bring)
    assert code == ExitCode.INCOMPLETE, errors
    assert_nothing_is_named(inside)


def test_both_started_again_finish_and_leave_nothing_on_a_disk(
    start, outside, inside, image, tmp_path
):
    """After a break the same two commands complete it, and no file was written on the way."""
    for is_broken in (True, False):
        export = start("export", "images", f"{outside.host}/app:1", "-o", "-")
        bring = start("import", "bundle", "-", "--to", inside.host, stdin=subprocess.PIPE)
        if is_broken:
            pass_on(export, bring, MIDDLE)
            bring.kill()
            export.stdout.close()
            assert said(export)[0] == ExitCode.UNAVAILABLE
            continue
        while data := os.read(export.stdout.fileno(), 65_536):
            bring.stdin.write(data)
        bring.stdin.close()
        assert said(export)[0] == said(bring)[0] == ExitCode.OK
    assert_holds(inside, "app", image, "1")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["custody.log"]
