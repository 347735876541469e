"""What holds for the tree as a whole and no linter checks."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

import airgap
from airgap.errors import AirgapError, ExitCode
from tools import exit_codes

ROOT = Path(__file__).parent.parent
MAX_LINES = 400
BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "base"}
CODE = ("airgap", "tests", "tools", "benchmarks")

# Put together from pieces, so that this file does not hold what it looks for.
FORBIDDEN_TEXTS = {
    "a path of one machine": ["/" + "root/", "/" + "work/", "/" + r"home/\w+/", "/" + "Users/"],
    "a host of a package registry": [
        name.replace("_", r"\.")
        for name in (
            "pypi_" + "org",
            "files_python" + "hosted_org",
            "proxy_" + "golang_org",
            "sum_" + "golang_org",
            "deb_" + "debian_org",
            "security_" + "debian_org",
            "registry_" + "npmjs_org",
            "crates_" + "io",
            "rubygems_" + "org",
        )
    ],
}


def committed_files() -> list[Path]:
    """The files of the project: what git knows or would add, else what the known folders hold."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode()
        paths = [ROOT / name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        paths = [path for top in (*CODE, "docs", ".ci") for path in (ROOT / top).rglob("*")]
        paths += ROOT.glob("*")
    return sorted(path for path in paths if path.is_file() and "__pycache__" not in path.parts)


FILES = committed_files()
MODULES = [
    path for path in FILES if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in CODE
]


def name_of(path: Path) -> str:
    """A file's name for people, seen from the root of the project."""
    return path.relative_to(ROOT).as_posix()


def test_there_is_something_to_look_at():
    """The lists that the other tests go through are not empty."""
    names = {name_of(path) for path in MODULES}
    assert {"airgap/errors.py", "tests/conftest.py", "tests/test_architecture.py"} <= names


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_short(path: Path):
    """A module that grows beyond 400 lines does more than one thing."""
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"{name_of(path)} has {lines} lines: split it by what it holds"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_named_after_what_it_holds(path: Path):
    """No module or package is called by a name that could hold anything."""
    parts = {part.strip("_") for part in path.relative_to(ROOT).with_suffix("").parts}
    assert not parts & BANNED_NAMES


def silent_tests(path: Path) -> list[str]:
    """The test functions of a file that lack a docstring of one paragraph that ends with a dot."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(
            "test"
        ):
            doc = (ast.get_docstring(node) or "").strip()
            if not doc.endswith(".") or "\n\n" in doc:
                found.append(node.name)
    return found


TEST_FILES = [path for path in MODULES if path.relative_to(ROOT).parts[0] == "tests"]


@pytest.mark.parametrize("path", TEST_FILES, ids=name_of)
def test_every_test_says_what_is_true(path: Path):
    """Each test function has a docstring of one sentence."""
    assert silent_tests(path) == []


def subclasses(kind: type[AirgapError]) -> set[type[AirgapError]]:
    """A class and all that come from it."""
    return {kind}.union(*(subclasses(child) for child in kind.__subclasses__()))


def airgap_modules() -> list[str]:
    """The names of all modules of the package."""
    found = pkgutil.walk_packages(airgap.__path__, "airgap.")
    return ["airgap"] + [module.name for module in found if not module.name.endswith("__main__")]


def test_every_module_can_be_imported_and_keeps_its_word():
    """Each name in an `__all__`, also one that is loaded late, is there."""
    for name in airgap_modules():
        module = importlib.import_module(name)
        for exported in getattr(module, "__all__", ()):
            assert getattr(module, exported, None) is not None, f"{name}.{exported}"


def test_error_codes_are_unique_and_of_one_form():
    """Every error class, wherever it is defined, has a kebab-case code of its own."""
    for name in airgap_modules():
        importlib.import_module(name)
    kinds = [kind for kind in subclasses(AirgapError) if kind.__module__.startswith("airgap.")]
    twice = [code for code, count in Counter(kind.code for kind in kinds).items() if count > 1]
    assert twice == []
    assert [kind for kind in kinds if not re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.code)] == []
    assert {kind.__module__ for kind in kinds} == {"airgap.errors"}, "errors live in airgap.errors"


def test_every_exit_code_is_documented():
    """Each exit code, and each error code with it, has its row in the table."""
    text = exit_codes.TARGET.read_text(encoding="utf-8")
    for kind in exit_codes.error_classes():
        assert f"| {kind.exit_code:d} | `{kind.code}` |" in text
    for code in ExitCode:
        assert f"\n| {code:d} |" in text


def test_the_table_of_exit_codes_is_the_one_of_the_classes():
    """docs/exit-codes.md is what the classes generate: `make docs` brings it up to date."""
    assert exit_codes.TARGET.read_text(encoding="utf-8") == exit_codes.render()


@pytest.mark.parametrize("package", ["cli", "transfer", "trust"])
def test_what_a_user_can_mend_is_said_with_a_hint(package: str):
    """Options, files that are there already and signatures: nobody is left with what is wrong."""
    kinds = {"SettingsError", "ConflictError", "SignatureError"}
    found = []
    for path in sorted((ROOT / "airgap" / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                call = node.exc
                is_one = isinstance(call.func, ast.Name) and call.func.id in kinds
                if is_one and not any(keyword.arg == "hint" for keyword in call.keywords):
                    found.append(f"{name_of(path)}:{node.lineno}")
    assert found == []


@pytest.mark.parametrize("what", FORBIDDEN_TEXTS)
def test_no_file_knows_the_machine_that_made_it(what: str):
    """No file names folders of one machine or the hosts of package registries."""
    pattern = re.compile("|".join(FORBIDDEN_TEXTS[what]))
    found = []
    for path in FILES:
        text = path.read_bytes().decode("utf-8", "replace")
        found += [f"{name_of(path)}: {hit[0]}" for hit in pattern.finditer(text)]
    assert found == []


def test_the_patterns_find_what_they_look_for():
    """The patterns above are not so narrow that they find nothing."""
    assert re.search("|".join(FORBIDDEN_TEXTS["a path of one machine"]), "cd /" + "root/x")
    hosts = "|".join(FORBIDDEN_TEXTS["a host of a package registry"])
    assert re.search(hosts, "https://files.python" + "hosted.org/x")
