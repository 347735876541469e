"""Paths that the system does not take are mistakes of the user, and no bugs."""

from __future__ import annotations

import pytest

from tests.support.command_line import airgap

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


@pytest.mark.parametrize("command", _COMMANDS, ids=lambda command: " ".join(command)[:40])
def test_a_path_that_cannot_be_is_refused_in_one_line(command, tmp_path, monkeypatch):
    """Nothing is written, and what is wrong is said without a trace of the program."""
    monkeypatch.chdir(tmp_path)
    done = airgap(*command)
    assert done.code in (2, 10, 30), done.err
    assert done.err.startswith("error[")
    assert "Traceback" not in done.err
    assert not list(tmp_path.iterdir())
