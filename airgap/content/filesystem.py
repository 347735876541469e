"""What kind of file system a folder is on, and what that takes.

The kernel's own list of mounts says it (proc(5), /proc/pid/mountinfo), so that a stick is known
before a byte is written to it. Only Linux has that list; elsewhere nothing is taken for granted.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from airgap.content import posix
from airgap.content.storage import storage_errors

MOUNTINFO = Path("/proc/self/mountinfo")
UNKNOWN = "unknown"
FAT_FILE_LIMIT = (1 << 32) - 1
"""A file's size is a field of 32 bits there (Microsoft, fatgen103, DIR_FileSize)."""

_FAT = frozenset({"vfat", "msdos", "umsdos", "fuse.fat", "fuse.fusefat"})
_NETWORK = frozenset(
    {
        "9p", "afs", "ceph", "cifs", "davfs", "fuse.davfs2", "fuse.rclone", "fuse.s3fs",
        "fuse.sshfs", "glusterfs", "fuse.glusterfs", "ncpfs", "nfs", "nfs4", "smb2", "smb3",
        "smbfs",
    }
)  # fmt: skip
_FILLS_GAPS = (
    _FAT
    | _NETWORK
    # `fuseblk` is exFAT or NTFS in user space; the kernel does not say which
    | {"affs", "exfat", "fuse.exfat", "fuseblk", "hfs", "hfsplus", "ntfs", "ntfs3"}
    # discs: what can be written there at all is written in order
    | {"iso9660", "udf"}
)
_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class FileSystem:
    """What a file system is called and takes.

    Attributes:
        kind: As the kernel calls it: ext4, xfs, vfat, exfat, fuseblk, nfs4; `unknown` where it
            cannot be asked.
        max_file: How many bytes a file may have at most, where that is less than any bundle needs.
        has_holes: Whether what lies between two written places costs nothing. Where not, the
            system writes zeros there first, so that a file is best written from front to back.
    """

    kind: str
    max_file: int | None = None
    has_holes: bool = False


def file_system(folder: Path, *, mountinfo: str | None = None) -> FileSystem:
    """Tell which file system a folder is on.

    Args:
        folder: Any folder or file; it need not be there yet.
        mountinfo: The list of mounts to look into instead of this process's own.
    """
    kind = _kind(folder, _mounts() if mountinfo is None else mountinfo)
    return FileSystem(
        kind,
        max_file=FAT_FILE_LIMIT if kind in _FAT else None,
        has_holes=kind != UNKNOWN and kind not in _FILLS_GAPS,
    )


def drop_cache_file(path: Path) -> None:
    """Have a whole file read from its medium next time and not from memory.

    It is synced before, since only bytes that are on the medium can be dropped.

    Raises:
        StorageError: It cannot be read, or its bytes did not get to the medium.
    """
    with storage_errors(path):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            posix.sync_data(fd)
            posix.drop_cache(fd, 0, os.fstat(fd).st_size)
        finally:
            os.close(fd)


def _mounts() -> str:
    try:
        return MOUNTINFO.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:  # another system than Linux, or a sandbox without /proc
        return ""


def _kind(folder: Path, mountinfo: str) -> str:
    """The type of the mount nearest above; of several at one place the last hides the others."""
    place = folder.resolve()
    above = {place, *place.parents}
    kind, depth = UNKNOWN, 0
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        left, right = before.split(" "), after.split(" ")
        if len(left) < 5:
            continue
        point = Path(_ESCAPE.sub(lambda found: chr(int(found[1], 8)), left[4]))
        if right[0] and point in above and len(point.parts) >= depth:
            kind, depth = right[0], len(point.parts)
    return kind
