"""Runs the pages of docs/howto: their commands, in order, by a real `sh` in a scratch folder.

A fenced block without a language holds commands. A comment before it, which no reader of the page
sees, says what is special about it:

    <!-- howto: not run, it burns a disc -->
    <!-- howto: needs xorriso -->
    <!-- howto: exits 23 -->
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PAGES = Path(__file__).parents[2] / "docs" / "howto"
_BLOCK = re.compile(
    r"(?:^<!-- howto: (?P<note>[^\n]*?) -->\n+)?^```(?P<language>[^\n]*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
# Read while tests are collected: later every test has a home of its own.
_BUILT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "airgap-ci" / "bin"
_PROGRAMS = os.pathsep.join(
    ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin", str(_BUILT)]
)
_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Block:
    """Some commands of a page."""

    page: str
    line: int
    text: str
    code: int = 0
    needs: str | None = None
    is_run: bool = True

    def __str__(self) -> str:
        """Where it stands."""
        return f"docs/howto/{self.page}.md:{self.line}"


def read_page(page: str) -> list[Block]:
    """The commands of a page, in order."""
    content = (PAGES / f"{page}.md").read_text()
    blocks = []
    for found in _BLOCK.finditer(content):
        if found["language"]:
            continue
        line = content.count("\n", 0, found.start("text")) + 1
        blocks.append(_block(page, line, found["text"], found["note"] or ""))
    return blocks


def _block(page: str, line: int, text: str, note: str) -> Block:
    verb, _, rest = note.partition(" ")
    match verb:
        case "":
            return Block(page, line, text)
        case "not":
            assert rest.startswith("run, "), f"{page}:{line}: no reason is given in {note!r}"
            return Block(page, line, text, is_run=False)
        case "needs":
            return Block(page, line, text, needs=rest)
        case "exits":
            return Block(page, line, text, code=int(rest))
    raise AssertionError(f"{page}:{line}: {note!r} means nothing")


def find_program(name: str) -> str | None:
    """Where a program is: of the system, or of those that `.ci/run` builds."""
    return shutil.which(name, path=_PROGRAMS)


@dataclass
class Operator:
    """Somebody who follows a page, in a folder and with a home of their own.

    Args:
        folder: Where the commands run, and what stands for the root of the file system.
        names: What stands in a page, and what takes its place here.
    """

    folder: Path
    names: Mapping[str, str]
    ran: list[Block] = field(default_factory=list)
    left_out: list[Block] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the folders."""
        for name in ("home", "tmp", "work", "media/usb"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    @property
    def work(self) -> Path:
        """Where the commands run."""
        return self.folder / "work"

    @property
    def usb(self) -> Path:
        """What stands for /media/usb."""
        return self.folder / "media" / "usb"

    def translate(self, text: str) -> str:
        """Put what is here in the place of what the page says."""
        names = dict(self.names) | {"/media/": f"{self.folder}/media/"}
        longest_first = sorted(names, key=len, reverse=True)
        pattern = re.compile("|".join(re.escape(name) for name in longest_first))
        return pattern.sub(lambda found: names[found[0]], text)

    def sh(self, commands: str) -> subprocess.CompletedProcess[str]:
        """Run commands as they stand, and stop at the first that fails."""
        path = os.pathsep.join([str(Path(sys.executable).parent), _PROGRAMS])
        environment = {
            "PATH": path,
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"),
            "LANG": "C.UTF-8",
        }
        return subprocess.run(
            ["sh", "-e", "-c", commands],
            cwd=self.work,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )

    def do(self, block: Block) -> str:
        """Run a block and see that it ends as the page says; gives all that it printed."""
        commands = self.translate(block.text)
        done = self.sh(commands)
        said = done.stdout + done.stderr
        assert done.returncode == block.code, f"{block}: {done.returncode}\n{commands}\n{said}"
        return said

    def follow(
        self, page: str, before: Mapping[str, Callable[[Operator, Block], None]] | None = None
    ) -> str:
        """Follow a whole page; gives all that its commands printed.

        Args:
            page: Its name.
            before: What happens right before the one block that has a text in it.
        """
        blocks = read_page(page)
        assert blocks, f"{page} has no commands"
        acts = dict(before or {})
        said = []
        for block in blocks:
            if not block.is_run or (block.needs and find_program(block.needs) is None):
                self.left_out.append(block)
                continue
            for text in [text for text in acts if text in block.text]:
                acts.pop(text)(self, block)
            said.append(self.do(block))
            self.ran.append(block)
        missing = [t for t in acts if not any(t in block.text for block in self.left_out)]
        assert not missing, f"{page} has no block with {missing}"
        return "".join(said)
