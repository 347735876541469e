"""A small set of files with parity, and ways to hurt it."""

from __future__ import annotations

import random
from pathlib import Path

from airgap.bundle.par2 import ParitySet, create_parity, find_parity
from airgap.bundle.par2_repair import ParityRepair, repair_with_parity
from airgap.bundle.parity import ParityPlan, ParityRequest, plan_parity
from airgap.run import Run

SIZES = (700_000, 1_048_576, 900_001)


def write_volumes(folder: Path, *, seed: int = 1) -> list[Path]:
    """Files that are called and are as large as volumes may be."""
    folder.mkdir(exist_ok=True)
    chance = random.Random(seed)
    paths = [folder / f"release.{number:03}.tar" for number in range(1, len(SIZES) + 1)]
    for path, size in zip(paths, SIZES, strict=True):
        path.write_bytes(chance.randbytes(size))
    return paths


def plan_for(paths: list[Path], text: str = "1volume") -> ParityPlan:
    """The plan for files."""
    return plan_parity([path.stat().st_size for path in paths], ParityRequest.parse(text))


def create(paths: list[Path], text: str = "1volume", *, run: Run | None = None) -> tuple[Path, ...]:
    """Make parity beside files."""
    base = paths[0].parent / "release"
    plan = plan_for(paths, text)
    return create_parity(paths, base, plan, memory=64 << 20, jobs=2, run=run or Run())


def only_set(folder: Path) -> ParitySet:
    """The one set of a folder."""
    [found] = find_parity(folder)
    return found


def repair(folder: Path, out: Path, *, run: Run | None = None) -> ParityRepair:
    """Rebuild what a folder lacks."""
    found = only_set(folder)
    return repair_with_parity(found, [folder], out, memory=64 << 20, jobs=2, run=run or Run())


def contents(folder: Path) -> dict[str, bytes]:
    """All the files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def damage_blocks(folder: Path, plan: ParityPlan, count: int, chance: random.Random) -> None:
    """Flip a bit in so many different blocks of the volumes."""
    places = [
        (path, start)
        for path in sorted(folder.glob("*.tar"))
        for start in range(0, path.stat().st_size, plan.block_size)
    ]
    for path, start in chance.sample(places, count):
        end = min(start + plan.block_size, path.stat().st_size)
        flip(path, chance.randrange(start, end), bit=chance.randrange(8))


def flip(path: Path, offset: int, *, bit: int = 0) -> None:
    """Flip one bit."""
    with path.open("rb+") as file:
        file.seek(offset)
        [old] = file.read(1)
        file.seek(offset)
        file.write(bytes([old ^ (1 << bit)]))
