"""A FUSE file system that says it is larger than it is, as forged sticks do.

    python -m tests.support.lying_medium MOUNTPOINT REAL CLAIMED wrap|lose

Names, sizes and times are always right; the blocks of files beyond the real size land on the first
ones again, or nowhere. Ends when it is unmounted.
"""

from __future__ import annotations

import errno
import stat
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import mfusepy

BLOCK = 4096


@dataclass
class _File:
    size: int = 0
    mode: int = 0o644
    blocks: dict[int, int] = field(default_factory=dict)


class LyingMedium(mfusepy.Operations):
    """One folder of files over too few blocks.

    Args:
        real: How many bytes are kept.
        claimed: How many the medium says that it has.
        wraps: Whether what goes beyond overwrites the beginning; otherwise it is lost.
    """

    use_ns = True

    def __init__(self, real: int, claimed: int, *, wraps: bool) -> None:
        self._kept = bytearray(real // BLOCK * BLOCK)
        self._claimed = claimed // BLOCK
        self._wraps = wraps
        self._files: dict[str, _File] = {}
        self._given = 0
        self._free: list[int] = []
        self._born = time.time_ns()

    @mfusepy.overrides(mfusepy.Operations)
    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        times = dict.fromkeys(("st_atime", "st_mtime", "st_ctime"), self._born)
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2, **times}
        file = self._file(path)
        blocks = len(file.blocks) * (BLOCK // 512)
        mode = {"st_mode": stat.S_IFREG | file.mode, "st_nlink": 1}
        return {**mode, "st_size": file.size, "st_blocks": blocks, **times}

    @mfusepy.overrides(mfusepy.Operations)
    def readdir(self, path: str, fh: int) -> Any:
        return [".", "..", *(name[1:] for name in self._files)]

    @mfusepy.overrides(mfusepy.Operations)
    def statfs(self, path: str) -> dict[str, int]:
        free = self._claimed - self._given + len(self._free)
        sizes = {"f_bsize": BLOCK, "f_frsize": BLOCK, "f_blocks": self._claimed}
        return {**sizes, "f_bfree": free, "f_bavail": free, "f_namemax": 255}

    @mfusepy.overrides(mfusepy.Operations)
    def create(self, path: str, mode: int, fi: Any = None) -> int:
        self._files[path] = _File(mode=stat.S_IMODE(mode))
        return 0

    @mfusepy.overrides(mfusepy.Operations)
    def chmod(self, path: str, mode: int) -> int:
        self._file(path).mode = stat.S_IMODE(mode)
        return 0

    @mfusepy.overrides(mfusepy.Operations)
    def chown(self, path: str, uid: int, gid: int) -> int:
        return 0

    @mfusepy.overrides(mfusepy.Operations)
    def utimens(self, path: str, times: Any = None) -> int:
        return 0

    @mfusepy.overrides(mfusepy.Operations)
    def rename(self, old: str, new: str) -> int:
        file = self._file(old)
        if new in self._files:
            self.unlink(new)
        self._files[new] = file
        del self._files[old]
        return 0

    @mfusepy.overrides(mfusepy.Operations)
    def unlink(self, path: str) -> int:
        self._free += self._file(path).blocks.values()
        del self._files[path]
        return 0

    @mfusepy.overrides(mfusepy.Operations)
    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        file = self._file(path)
        if length < file.size:
            last = -(-length // BLOCK)
            self._free += [file.blocks.pop(n) for n in list(file.blocks) if n >= last]
            if length % BLOCK:  # what comes to lie behind the end is zero
                rest = BLOCK - length % BLOCK
                self._write(file, bytes(rest), length)
        file.size = length
        return 0

    @mfusepy.overrides(mfusepy.Operations)
    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        file = self._file(path)
        self._write(file, data, offset)
        file.size = max(file.size, offset + len(data))
        return len(data)

    @mfusepy.overrides(mfusepy.Operations)
    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        file = self._file(path)
        end = min(offset + size, file.size)
        parts = []
        while offset < end:
            number, skip = divmod(offset, BLOCK)
            length = min(BLOCK - skip, end - offset)
            at = self._place(file.blocks.get(number))
            start = 0 if at is None else at + skip
            parts.append(bytes(length) if at is None else bytes(self._kept[start : start + length]))
            offset += length
        return b"".join(parts)

    @mfusepy.overrides(mfusepy.Operations)
    def fsync(self, path: str, datasync: int, fh: int) -> int:
        return 0

    @mfusepy.overrides(mfusepy.Operations)
    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        return 0

    def _write(self, file: _File, data: bytes, offset: int) -> None:
        done = 0
        while done < len(data):
            number, skip = divmod(offset + done, BLOCK)
            length = min(BLOCK - skip, len(data) - done)
            if number not in file.blocks:
                file.blocks[number] = self._new_block()
            at = self._place(file.blocks[number])
            if at is not None:
                self._kept[at + skip : at + skip + length] = data[done : done + length]
            done += length

    def _new_block(self) -> int:
        if self._free:
            return self._free.pop()
        if self._given == self._claimed:
            raise mfusepy.FuseOSError(errno.ENOSPC)
        self._given += 1
        return self._given - 1

    def _place(self, block: int | None) -> int | None:
        """Where a block is kept; None for what was never written or is lost."""
        if block is None:
            return None
        kept = len(self._kept) // BLOCK
        if block >= kept and not self._wraps:
            return None
        return block % kept * BLOCK

    def _file(self, path: str) -> _File:
        try:
            return self._files[path]
        except KeyError:
            raise mfusepy.FuseOSError(errno.ENOENT) from None


def main() -> None:
    """Serve until unmounted."""
    point, real, claimed, how = sys.argv[1:]
    medium = LyingMedium(int(real), int(claimed), wraps=how == "wrap")
    # libfuse 3 always writes more than a page at once and does not know the option any more
    options = {"big_writes": True} if mfusepy.fuse_version_major < 3 else {}
    mfusepy.FUSE(medium, point, foreground=True, nothreads=True, fsname="lying", **options)


if __name__ == "__main__":
    main()
