"""How much parity a set of files gets and what that protects: pure numbers.

Source: Parity Volume Set Specification 2.0. Files are cut into blocks of one size; a recovery block
replaces any one of them that is damaged or gone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from airgap.errors import SettingsError
from airgap.wording import count_text

MAX_DATA_BLOCKS = 32_768
MAX_RECOVERY_BLOCKS = 65_535
MAX_RECOVERY_FILES = 31
"""As many as the tool makes in one run."""

_USUAL_BLOCKS = 2000
"""The work is bytes times recovery blocks: so many are fine enough, and no slower than a disk."""
_BLOCKS_PER_FILE = 8
_SMALLEST_BLOCK = 4096
_PERCENT = re.compile(r"([0-9]{1,3})%")
_VOLUMES = re.compile(r"([1-9][0-9]{0,4})volumes?")
_NAME_BYTES = 32
_PACKET, _MAIN, _DESCRIPTION, _CHECKSUMS, _RECOVERY, _CREATOR = 64, 12, 56, 16, 4, 48


@dataclass(frozen=True, slots=True)
class ParityRequest:
    """How much parity somebody wants: one of the two.

    Attributes:
        percent: Recovery blocks for so many of a hundred data blocks.
        volumes: Enough of them to rebuild so many lost files, even the largest.
    """

    percent: int | None = None
    volumes: int | None = None

    @classmethod
    def parse(cls, text: str) -> ParityRequest:
        """Parse `10%`, `1volume`, `2volumes`.

        Raises:
            SettingsError: It is none of them.
        """
        if (found := _PERCENT.fullmatch(text)) and 1 <= int(found[1]) <= 100:
            return cls(percent=int(found[1]))
        if found := _VOLUMES.fullmatch(text):
            return cls(volumes=int(found[1]))
        raise SettingsError(
            f"{text[:50]!r} is no amount of parity",
            hint="give 1% to 100%, or 1volume, 2volumes and so on",
        )

    def __str__(self) -> str:
        if self.percent is not None:
            return f"{self.percent}%"
        return f"{self.volumes}volume{'' if self.volumes == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class ParityPlan:
    """The numbers that parity is made with, and what it is good for.

    Attributes:
        block_size: Bytes of a block; a multiple of four.
        data_blocks: How many blocks the files have; each begins one.
        recovery_blocks: How many damaged blocks can be rebuilt.
        recovery_files: In how many files they are written; none is larger than the largest volume
            where so many are enough.
        whole_volumes: How many lost files can be rebuilt, even if they are the largest.
        size: About how many bytes the parity takes.
        source_size: How many bytes it protects.
    """

    block_size: int
    data_blocks: int
    recovery_blocks: int
    recovery_files: int
    whole_volumes: int
    size: int
    source_size: int


def plan_parity(
    sizes: Sequence[int], request: ParityRequest, *, max_file: int | None = None
) -> ParityPlan:
    """Decide on blocks for files.

    Args:
        sizes: The sizes of all files.
        request: How much parity is wanted.
        max_file: The largest file that the file system takes, where there is a limit.

    Raises:
        SettingsError: That much parity cannot be made for these files.
    """
    sizes = [size for size in sizes if size]
    if not sizes:
        raise SettingsError("there is nothing to make parity for", hint="leave out --parity")
    if 2 * len(sizes) > MAX_DATA_BLOCKS:
        raise SettingsError(
            f"parity cannot protect {count_text(len(sizes), 'file')} together",
            hint="make the volumes larger",
        )
    total = sum(sizes)
    wanted = min(max(_USUAL_BLOCKS, _BLOCKS_PER_FILE * len(sizes)), MAX_DATA_BLOCKS - len(sizes))
    block = max(_SMALLEST_BLOCK, _ceil(_ceil(total, wanted), 4) * 4)
    counts = sorted((_ceil(size, block) for size in sizes), reverse=True)
    recovery = _recovery_blocks(counts, request)
    files, size = _files(counts, block, recovery, max(sizes))
    if max_file is not None and size // files > max_file:
        raise SettingsError(
            f"{request} of parity does not fit into {files} files of {max_file:,} bytes",
            hint="ask for less parity",
        )
    return ParityPlan(block, sum(counts), recovery, files, _whole(counts, recovery), size, total)


def protection_text(plan: ParityPlan) -> str:
    """What parity protects, for people: `200 damaged blocks, no whole volume`."""
    whole = count_text(plan.whole_volumes, "whole volume") if plan.whole_volumes else ""
    return f"{count_text(plan.recovery_blocks, 'damaged block')}, {whole or 'no whole volume'}"


def _ceil(value: int, unit: int) -> int:
    return -(-value // unit)


def _recovery_blocks(counts: Sequence[int], request: ParityRequest) -> int:
    if request.percent is not None:
        return _ceil(sum(counts) * request.percent, 100)
    volumes = request.volumes or 1
    if volumes > len(counts):
        raise SettingsError(
            f"parity for {count_text(volumes, 'volume')} is more than there is: "
            f"the bundle has {count_text(len(counts), 'volume')}",
            hint="ask for as many as there are, or for less",
        )
    return sum(counts[:volumes])


def _whole(counts: Sequence[int], recovery: int) -> int:
    """How many files can be lost, the largest first."""
    number = 0
    for count in counts:
        recovery -= count
        if recovery < 0:
            break
        number += 1
    return number


def _files(counts: Sequence[int], block: int, recovery: int, limit: int) -> tuple[int, int]:
    """In how many files the recovery blocks go, and how large all files are together.

    Each file repeats what describes the set, once for each doubling of its blocks.
    """
    described = (2 * _PACKET + _DESCRIPTION + _NAME_BYTES + _CHECKSUMS) * len(counts)
    critical = _PACKET + _MAIN + 16 * len(counts) + described + 20 * sum(counts)
    step = block + _PACKET + _RECOVERY
    room = limit - critical * max(1, recovery.bit_length()) - _PACKET - _CREATOR
    files = min(_ceil(recovery, max(1, room // step)), MAX_RECOVERY_FILES, recovery)
    copies = _ceil(recovery, files).bit_length()
    fixed = critical + _PACKET + _CREATOR
    return files, recovery * step + files * (critical * copies + _PACKET + _CREATOR) + fixed
