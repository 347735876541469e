"""Parity of 10 % beside the plain `par2` tool on the same files with the same numbers.

    python -m benchmarks.parity FOLDER

is what airgap does after the volumes are written, in a process of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from airgap.bundle.par2 import create_parity
from airgap.bundle.par2_tool import find_tool
from airgap.bundle.parity import ParityPlan, ParityRequest, plan_parity
from airgap.run import Run
from benchmarks.measure import Command, Sample, Series, alternate
from benchmarks.options import Options, remove

PERCENT = "10%"
AIRGAP, TOOL = "airgap", "par2"
_MEMORY = 512 << 20
_THREADS = 2


def measure(options: Options, folder: Path) -> dict[str, Series]:
    """Make parity for the volumes of a folder by both, again and again."""
    files = sorted(folder.glob("*.tar"))
    plan = _plan(files)
    base = folder / "parity"
    tool = [
        *(str(find_tool()), "create", f"-m{_MEMORY >> 20}", f"-t{_THREADS}"),
        *(f"-s{plan.block_size}", f"-c{plan.recovery_blocks}"),
        *("-u", f"-n{plan.recovery_files}", "--", str(base), *map(str, files)),
    ]
    ours = [sys.executable, "-m", "benchmarks.parity", str(folder)]

    def making(command: Command) -> Callable[[], Sample]:
        def run() -> Sample:
            remove(*folder.glob("*.par2"))
            sample = options.bench.run(command)
            remove(*folder.glob("*.par2"))
            return sample

        return run

    runs = [(TOOL, making(tool)), (AIRGAP, making(ours))]
    return alternate(runs, options.rounds, say=options.say)


def _plan(files: list[Path]) -> ParityPlan:
    return plan_parity([file.stat().st_size for file in files], ParityRequest.parse(PERCENT))


def main(folder: Path) -> None:
    """Make parity for the volumes of a folder."""
    files = sorted(folder.glob("*.tar"))
    create_parity(files, folder / "parity", _plan(files), memory=_MEMORY, jobs=_THREADS, run=Run())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
