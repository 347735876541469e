"""What is loaded before a command is used: start-up time as a fact that does not depend on load."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SCRIPT = """
import sys, json, io
import click
before = set(sys.modules)
from airgap.cli.main import run
sys.stdout = io.StringIO()
code = run(json.loads(sys.argv[1]))
text, sys.stdout = sys.stdout.getvalue(), sys.__stdout__
print(json.dumps([code, text, sorted(set(sys.modules) - before)]))
"""
OWN = {
    "airgap", "airgap.errors", "airgap.version", "airgap.cli", "airgap.cli.main",
    "airgap.cli.invocation", "airgap.cli.lazy", "airgap.cli.output", "airgap.cli.tree",
    "airgap.cli.visible", "airgap.wording",
}  # fmt: skip
SERVER = (
    "aiohttp", "asyncio", "bcrypt", "cryptography", "jinja2", "jwt", "prometheus_client",
    "sqlalchemy", "sqlite3",
)  # fmt: skip
UNASKED = {
    "airgap.bundle.par2", "airgap.record.lock", "airgap.transfer.image_evidence",
    "airgap.transfer.image_policy", "airgap.transfer.locked", "airgap.transfer.receipts",
    "airgap.transfer.scratch", "airgap.transfer.spread", "airgap.transfer.trusting",
    "airgap.trust.cosign", "airgap.trust.policy", "airgap.trust.trust_files",
}  # fmt: skip
HEAVY = ("urllib3", "ssl", "http", "tqdm", "email", *SERVER)


def loaded(*arguments: str) -> tuple[int, str, set[str]]:
    """Run a command in a fresh interpreter and say what it loaded."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(arguments)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    code, text, modules = json.loads(done.stdout)
    return code, text, set(modules)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["export", "--help"]])
def test_help_loads_nothing_but_names(arguments: list[str]) -> None:
    """Help and version load eleven small modules of airgap's own, and nothing heavy of Python's."""
    code, text, modules = loaded(*arguments)
    assert code == 0
    assert text
    assert {name for name in modules if name.partition(".")[0] == "airgap"} <= OWN
    costly = ("dataclasses", "hashlib", "pathlib", "traceback", "tomllib", "subprocess", *HEAVY)
    assert modules.isdisjoint(costly)


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_commands_without_a_network_load_no_network_code(command: str) -> None:
    """Inspecting and verifying a bundle need neither urllib3 nor TLS nor bars."""
    code, _, modules = loaded(command, "bundle", "/nowhere/there/is/none.tar")
    assert code == 10
    assert "airgap.bundle.volume_file" in modules
    assert {name.partition(".")[0] for name in modules}.isdisjoint(HEAVY)


def test_network_commands_load_no_bars_and_no_server() -> None:
    """An export that is not on a terminal loads neither tqdm nor the embedded registry."""
    code, _, modules = loaded("export", "images", "NO", "-o", "x")
    assert code == 2
    assert {name.partition(".")[0] for name in modules}.isdisjoint(("tqdm", *SERVER))
    assert not any(name.startswith("airgap.server") for name in modules)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("export", "images", "NO", "-o", "x"), 2),
        (("import", "bundle", "/nowhere/there/is/none.tar", "--to", "none:1", "--dry-run"), 10),
    ],
)
def test_what_no_option_asks_for_is_not_loaded(arguments: tuple[str, ...], code: int) -> None:
    """Plain exports and imports load neither trust nor locks, parity or media that are changed."""
    found, _, modules = loaded(*arguments)
    assert found == code
    assert "airgap.registry.client" in modules
    assert modules.isdisjoint(UNASKED)


def test_every_command_has_the_help_that_its_group_shows() -> None:
    """The short help of a group names commands that exist, under the names they have."""
    from airgap.cli.lazy import LazyGroup
    from airgap.cli.tree import airgap

    groups = [airgap, *(g for g in airgap.commands.values() if isinstance(g, LazyGroup))]
    seen = 0
    for group in groups:
        for name in group.lazy:
            command = group.get_command(None, name)  # type: ignore[arg-type]
            assert command is not None
            assert command.name == name
            seen += 1
    assert seen >= 13


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str) -> None:
    """The script calls airgap with the variable that click listens to."""
    code, text, _ = loaded("completion", shell)
    assert code == 0
    assert "_AIRGAP_COMPLETE" in text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            "airgap ",
            {"access", "completion", "export", "import", "inspect", "login", "logout", "user"},
        ),
        ("airgap lo", {"login", "logout"}),
        ("airgap export ", {"images"}),
        ("airgap import bundle x --on-existing-tag ", {"overwrite", "skip", "error"}),
        ("airgap export images --pla", {"--platform", "--plain-http"}),
    ],
)
def test_completion_knows_commands_and_options(words: str, expected: set[str]) -> None:
    """Names of commands come from the groups; options from the commands."""
    import os

    count = len(words.split()) - (0 if words.endswith(" ") else 1)
    environ = {"COMP_WORDS": words, "COMP_CWORD": str(count), "_AIRGAP_COMPLETE": "bash_complete"}
    done = subprocess.run(
        [sys.executable, "-m", "airgap"],
        capture_output=True,
        text=True,
        env=os.environ | environ,
        timeout=60,
    )
    found = {line.partition(",")[2] for line in done.stdout.splitlines()}
    assert expected <= found
    assert "Traceback" not in done.stderr
