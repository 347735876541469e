"""What is in packaging/: it names commands and options that exist, and keeps the service small."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

import click
import pytest

from airgap.cli.serve import serve_registry

PACKAGING = Path(__file__).parent.parent.parent / "packaging"
UNIT = PACKAGING / "airgap.service"
CONTAINERFILE = PACKAGING / "Containerfile"
ANALYZE = shutil.which("systemd-analyze")
MAX_EXPOSURE = 1.5


def settings() -> dict[str, str]:
    """The lines of the unit's [Service]; of those that repeat the last one."""
    parser = RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT.read_text())
    return dict(parser["Service"])


def check_serve(arguments: list[str]) -> dict[str, object]:
    """Let the command read its arguments, without running it."""
    assert arguments[0] == "serve"
    context: click.Context = serve_registry.make_context("serve", arguments[1:])
    return context.params


def test_the_unit_starts_a_command_that_exists():
    """The options of ExecStart are those of `airgap serve`, and its folder is the service's own."""
    program, *arguments = shlex.split(settings()["ExecStart"].replace("$SERVE_OPTIONS", ""))
    assert program.endswith("/airgap")
    assert check_serve(arguments)["data"] == Path("%S/airgap")


def test_the_example_of_the_unit_is_right():
    """The options that its comment shows can be given."""
    example = re.search(r"SERVE_OPTIONS=(.*)", UNIT.read_text())
    assert example
    assert check_serve(["serve", *example[1].split()])["tls_self_signed"] is True


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Type", "notify"),
        ("DynamicUser", "yes"),
        ("StateDirectory", "airgap"),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("CapabilityBoundingSet", ""),
    ],
)
def test_the_unit_is_hardened(name, value):
    """The service has a user of its own, no privileges, and one folder that it may write to."""
    assert settings()[name] == value


def test_the_unit_waits_longer_than_transfers_may_take():
    """systemd does not kill what is still allowed to finish."""
    from airgap.server.limits import Limits

    assert float(settings()["TimeoutStopSec"]) > Limits().shutdown_seconds


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_unit(tmp_path):
    """systemd knows every line of the unit, and rates it as hardly exposed."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/usr/local/bin/airgap", sys.executable))
    for command in (
        ["verify", "--man=no", "--recursive-errors=no", unit],
        ["security", "--offline=yes", f"--threshold={int(MAX_EXPOSURE * 10)}", unit],
    ):
        done = subprocess.run(
            [str(ANALYZE), *map(str, command)], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Unknown" not in done.stderr, done.stderr


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Containerfile."""
    text = re.sub(r"\\\n\s*", " ", CONTAINERFILE.read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def test_the_container_starts_a_command_that_exists():
    """Entry point and command are `airgap serve` with options that exist."""
    found = dict(instructions())
    assert json.loads(found["ENTRYPOINT"]) == ["airgap"]
    params = check_serve(json.loads(found["CMD"]))
    assert (str(params["data"]), params["listen"]) == (
        found["VOLUME"],
        f"0.0.0.0:{found['EXPOSE']}",
    )


def test_the_container_is_not_root_and_has_a_small_base():
    """The last stage runs as another user than root on Debian's slim Python image."""
    found = instructions()
    bases = [rest.split()[0] for name, rest in found if name == "FROM"]
    assert {re.fullmatch(r".*/python:3\.\d+-slim-[a-z]+", base) is not None for base in bases} == {
        True
    }
    assert dict(found)["USER"] == "65532:65532"


def test_what_the_container_copies_exists():
    """Every file that is copied is in the project."""
    for name, rest in instructions():
        if name == "COPY":
            *sources, _ = rest.split()
            for source in sources:
                assert (PACKAGING.parent / source).exists(), source
