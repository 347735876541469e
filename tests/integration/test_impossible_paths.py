"""Paths that the system does not take are mistakes of the user, and no bugs."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.support.command_line import airgap


@pytest.fixture
def secret(tmp_path, monkeypatch):
    """A file that nobody may read, not even who runs the tests as root."""
    path = tmp_path / "secret"
    path.write_bytes(b"{}")
    really = (Path.open, os.open, os.access)

    def is_it(name):
        return not isinstance(name, int) and os.fspath(name) == os.fspath(path)

    def deny(*_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(
        Path, "open", lambda p, *a, **k: deny() if is_it(p) else really[0](p, *a, **k)
    )
    monkeypatch.setattr(
        os, "open", lambda p, *a, **k: deny() if is_it(p) else really[1](p, *a, **k)
    )
    monkeypatch.setattr(os, "access", lambda p, *a, **k: not is_it(p) and really[2](p, *a, **k))
    return path


LONG = "a" * 300
"""No file system has names of so many bytes."""
_COMMANDS = [
    ("compare", LONG, "other"),
    ("compare", f"/{LONG}", "other"),
    ("export", "inventory", "--from", f"./{LONG}", "-o", "x.inventory"),
    ("export", "inventory", "--from", f"{LONG}/app", "-o", "x.inventory"),
    ("export", "inventory", "--from", "~nobody-of-this-name/data", "-o", "x.inventory"),
    ("export", "inventory", "--from", "registry.invalid", "-o", LONG),
    ("export", "images", "a.invalid/app:1", "-o", "x.tar", "--lock", f"{LONG}/x"),
    ("export", "images", "a.invalid/app:1", "-o", LONG, "--checksums"),
    ("lock", "-f", LONG, "-o", "images.lock"),
    ("lock", "--check", "-f", LONG),
    ("log", "export", "-o", f"./{LONG}"),
    ("log", "show", "--custody-log", LONG),
    ("inspect", "inventory", LONG),
    ("verify", "inventory", LONG),
]


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (("verify", "bundle", "{}"), "storage"),
        (("inspect", "inventory", "{}"), "storage"),
        (("verify", "receipt", "{}"), "storage"),
        (("compare", "{}", "{}"), "storage"),
        (("export", "images", "a.invalid/b:1", "-o", "x.tar", "--against", "{}"), "storage"),
        (("export", "inventory", "--from", "a.invalid", "-o", "{}"), "storage"),
        (("key", "show", "{}"), "settings"),
    ],
)
def test_a_file_that_may_not_be_read_is_told_by_whoever_reads_it(command, kind, secret):
    """With what to look at, and not as a wrong use of the command line."""
    done = airgap(*(part.format(secret) for part in command))
    assert done.code == (30 if kind == "storage" else 2), done.err
    assert f"error[{kind}]: " in done.err
    assert "Permission denied" in done.out + done.err
    assert "--help" not in done.err


@pytest.mark.parametrize("command", _COMMANDS, ids=lambda command: " ".join(command)[:40])
def test_a_path_that_cannot_be_is_refused_in_one_line(command, tmp_path, monkeypatch):
    """Nothing is written, and what is wrong is said without a trace of the program."""
    monkeypatch.chdir(tmp_path)
    done = airgap(*command)
    assert done.code in (2, 10, 30), done.err
    assert done.err.startswith("error[")
    assert "Traceback" not in done.err
    assert not list(tmp_path.iterdir())
