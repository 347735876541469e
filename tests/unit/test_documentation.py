"""The documents name only what is there."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import click
import pytest

from airgap.cli.tree import airgap

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")
_CODE = re.compile(r"^ *```\n(.*?)^ *```$|`([^`]+)`", re.M | re.S)
_COMMAND = re.compile(r"\bairgap ((?:[a-z]+ ?)+)(.*)")
_TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
_OPTION = re.compile(r"(?<=\s)--[a-z][a-z-]*")


def name_of(path: Path) -> str:
    """A document's name for people."""
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    """Each link to a file of the project names one that is there."""
    targets = _LINK.findall(path.read_text(encoding="utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []


def test_every_document_is_in_the_index() -> None:
    """docs/README.md leads to each document beside and below it, decisions by their own index."""
    folder = ROOT / "docs"
    linked = {
        (folder / target).resolve()
        for target in _LINK.findall((folder / "README.md").read_text(encoding="utf-8"))
    }
    documents = {path for path in folder.rglob("*.md") if path.parent.name != "adr"}
    assert documents - linked == {folder / "README.md"}


def shown_in(path: Path) -> list[tuple[str, str]]:
    """The command lines of a document: the words behind `airgap`, and what follows them."""
    codes = _CODE.finditer(path.read_text(encoding="utf-8"))
    texts = [(match[1] or match[2]).replace("\\\n", " ") for match in codes]
    return [(found[1], found[2]) for text in texts for found in _COMMAND.finditer(text)]


def unknown(words: str, rest: str) -> list[str]:
    """What of a command line of a document airgap does not have."""
    command: click.Command = airgap
    for word in words.split():
        if not isinstance(command, click.Group):
            break
        found = command.get_command(click.Context(command), word)
        if found is None:
            return [word]
        command = found
    known = {
        o for parameter in command.params for o in (*parameter.opts, *parameter.secondary_opts)
    }
    part = re.split(r"[|#&]| -- ", rest)[0]
    return [option for option in _OPTION.findall(f" {part}") if option not in known | {"--help"}]


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_commands_and_options_are_there(path: Path) -> None:
    """Each `airgap …` of a document names a command, and options that it has."""
    shown = shown_in(path)
    assert [(words, *found) for words, rest in shown if (found := unknown(words, rest))] == []


def test_the_examples_are_looked_at() -> None:
    """The pattern finds the commands of the README, and options that no command has."""
    words = {words.strip() for words, _ in shown_in(ROOT / "README.md")}
    assert {"export images", "import bundle", "user add alice", "completion bash"} <= words
    assert unknown("export nothing", "") == ["nothing"]
    assert unknown("export images", "x --no-such | y --more") == ["--no-such"]


def test_the_settings_that_are_shown_are_read() -> None:
    """The examples of docs/settings.md are TOML with known keys, and a trust file."""
    from airgap.cli.settings import NAMES
    from airgap.trust.trust_file import TrustFile

    text = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    example, trust = re.findall(r"```toml\n(.*?)```", text, re.S)
    assert {key.replace("-", "_") for key in tomllib.loads(example)} <= NAMES
    assert len(TrustFile.parse(trust.encode(), what="the example").keys) == 2


def named_tests(path: Path) -> set[str]:
    """The functions and classes of tests of a file; the file itself is the empty name."""
    if not path.is_file():
        return set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    named = {node.name for node in ast.walk(tree) if isinstance(node, kinds)}
    return {"", *(name for name in named if name.lower().startswith("test"))}


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_tests_that_are_named_are_there(path: Path) -> None:
    """A claim that leans on a test leans on one that exists, in that file."""
    named = _TEST.findall(path.read_text(encoding="utf-8"))
    assert [found for found in named if found[1] not in named_tests(ROOT / found[0])] == []


def test_each_claim_of_the_threat_model_names_its_tests() -> None:
    """What is said to be prevented is shown, and each step says what is not prevented."""
    text = (ROOT / "docs/threat-model.md").read_text(encoding="utf-8")
    steps = text.split("\n## ")[1:]
    claims = [claim for step in steps for claim in step.split("\n- ")[1:]]
    assert [claim.partition("\n")[0] for claim in claims if not _TEST.search(claim)] == []
    assert [step.partition("\n")[0] for step in steps if "*Still possible:*" not in step] == []
    assert len(claims) > len(steps) > 5
    assert named_tests(ROOT / "tests/unit/no_such_file.py") == set()
    assert "no_such_test" not in named_tests(Path(__file__))
