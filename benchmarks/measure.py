"""Measures commands: wall time, CPU time of the process and its children, peak memory."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
_SPAWN = str(Path(__file__).with_name("spawn.py"))
_POLL_SECONDS = 0.01
Command = Sequence[str]


class CommandFailedError(Exception):
    """A contestant failed: its time would mean nothing."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run of a command took."""

    wall: float
    cpu: float
    rss: int


@dataclass(slots=True)
class Series:
    """The runs of one contestant."""

    name: str
    samples: list[Sample] = field(default_factory=list)

    @property
    def wall(self) -> float:
        """The median of the wall times."""
        return median(sample.wall for sample in self.samples)

    @property
    def cpu(self) -> float:
        """The median of the CPU times."""
        return median(sample.cpu for sample in self.samples)

    @property
    def rss(self) -> int:
        """The highest peak of memory in any run."""
        return max(sample.rss for sample in self.samples)

    @property
    def spread(self) -> str:
        """The shortest and the longest wall time."""
        walls = [sample.wall for sample in self.samples]
        return f"{min(walls):.2f}..{max(walls):.2f}"


class Bench:
    """Runs commands in an environment that holds no settings of the user.

    Args:
        scratch: A folder for the commands' home and temporary files, which are made anew.
        path: Folders to search for programs before those of PATH.
    """

    def __init__(self, scratch: Path, *, path: Sequence[str] = ()) -> None:
        """Make the folders and the environment."""
        self.home = scratch / "home"
        self.temporary = scratch / "tmp"
        for folder in (self.home, self.temporary):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        kept = {name: os.environ[name] for name in ("LANG", "LC_ALL") if name in os.environ}
        self.environment = kept | {
            "PATH": os.pathsep.join([*path, os.environ.get("PATH", os.defpath)]),
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            # The CNCF registry looks for a collector of traces unless it is told not to.
            "OTEL_TRACES_EXPORTER": "none",
        }

    def run(self, command: Command) -> Sample:
        """Run a command and measure it.

        Raises:
            CommandFailedError: It did not end with 0; the message ends with what it wrote.
        """
        with tempfile.TemporaryDirectory() as folder:
            report, log = Path(folder, "report"), Path(folder, "log")
            with log.open("wb") as output:
                subprocess.run(
                    [sys.executable, "-I", "-S", _SPAWN, str(report), *command],
                    env=self.environment,
                    cwd=ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    check=False,
                )
            said = log.read_text(errors="replace")[-2000:]
            if not report.exists():
                raise CommandFailedError(f"{command[0]} did not start: {said}")
            status, wall, cpu, rss = report.read_text().split()
            if status != "0":
                raise CommandFailedError(f"{' '.join(command)[:400]}: exit {status}: {said}")
            return Sample(float(wall), float(cpu), int(rss))

    def script(self, lines: Sequence[Command], file: Path) -> Command:
        """A command that runs several commands one after the other and stops at a failure."""
        file.write_text("set -e\n" + "".join(shlex.join(line) + "\n" for line in lines))
        return ["sh", str(file)]


def settle() -> None:
    """Write out what earlier runs left behind, so that nobody pays for someone else."""
    os.sync()


def alternate(
    contestants: Sequence[tuple[str, Callable[[], Sample]]],
    rounds: int,
    *,
    say: Callable[[str], None],
) -> dict[str, Series]:
    """Run each contestant once a round; who begins changes from round to round."""
    results = {name: Series(name) for name, _ in contestants}
    for number in range(rounds):
        turn = number % len(contestants)
        for name, run in [*contestants[turn:], *contestants[:turn]]:
            settle()
            sample = run()
            results[name].samples.append(sample)
            say(
                f"round {number + 1}/{rounds} {name}: {sample.wall:.2f} s,"
                f" CPU {sample.cpu:.2f} s, {sample.rss / 2**20:.0f} MiB"
            )
    return results


class Watch:
    """Looks again and again at how much some folders hold beside the bundle, and keeps the most.

    Args:
        folders: Where to look, with all that is below.
        bundle: The bundle's path; the file and its unfinished form do not count.
    """

    def __init__(self, folders: Sequence[Path], bundle: Path) -> None:
        """Remember where to look."""
        self.most = 0
        self._folders = folders
        self._ignored = {bundle.name, bundle.name + ".partial"}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        """Begin to look."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look a last time and stop."""
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            last = self._done.is_set()
            self.most = max(self.most, sum(self._size(folder) for folder in self._folders))
            if last:
                return
            self._done.wait(_POLL_SECONDS)

    def _size(self, folder: Path) -> int:
        total = 0
        for parent, _, names in os.walk(folder):
            for name in names:
                if name in self._ignored:
                    continue
                try:
                    entry = Path(parent, name).stat()
                except FileNotFoundError:
                    continue  # removed between listing and looking
                # A file written with holes counts by its length, one preallocated by its blocks.
                total += max(entry.st_size, entry.st_blocks * 512)
        return total
