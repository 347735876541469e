"""Real file systems on loop devices, media that are pulled and media that lie.

    with loop_file_system(tmp_path, "ext4", 20 << 20) as medium:
        ...write to medium.folder...
        medium.pull()       # what was not synced is gone, every call fails
        medium.put_back()   # mounted again, as after a look by the file system's own recovery

They need root and the programs that `.ci/run install` installs; without them the test is skipped,
or fails where everything has to be there.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from airgap.content import filesystem
from tests.compat.software import ROOT, Done, Program, find, lacking, need_root

MIB = 1 << 20
SMALLEST = {"ext4": 2 * MIB, "xfs": 300 * MIB, "btrfs": 110 * MIB, "exfat": 8 * MIB}
"""What the programs that make these file systems take at least."""

_SHUTDOWN = 0x8004587D
_LOSE_ALL = 2
"""`XFS_IOC_GOINGDOWN`, which ext4 has under the same number, and its flag for a file system that is
gone at once, with its log not written (linux: fs/xfs/libxfs/xfs_fs.h, fs/ext4/ext4.h)."""
_MAKE = {
    "ext4": ("mkfs.ext4", "-q", "-m", "0"),
    "xfs": ("mkfs.xfs", "-q"),
    "btrfs": ("mkfs.btrfs", "-q"),
    "exfat": ("mkfs.exfat",),
}
_MOUNT_SECONDS = 20.0


@dataclass(frozen=True)
class Medium:
    """A file system that is mounted.

    Attributes:
        folder: Where.
        device: What it lies on.
        kind: Its type.
    """

    folder: Path
    device: str
    kind: str

    def pull(self) -> None:
        """Take it away while it is mounted: what was not synced is lost, and all calls fail."""
        fd = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, struct.pack("=I", _LOSE_ALL))
        finally:
            os.close(fd)

    def put_back(self, *, read_only: bool = False) -> None:
        """Mount what is on the device anew."""
        self.unmount()
        self.mount(read_only=read_only)

    def mount(self, *, read_only: bool = False) -> None:
        """Mount it."""
        mount = ["mount.exfat-fuse"] if self.kind == "exfat" else ["mount", "-t", self.kind]
        options = ["-o", "ro" if read_only else "rw"]
        _do(mount[0], *mount[1:], *options, self.device, str(self.folder))

    def unmount(self) -> None:
        """Unmount it, if it is mounted."""
        if _is_mounted(self.folder):
            _do("umount", str(self.folder))

    def detach(self) -> None:
        """Unmount it whatever it takes, even where a failed test still has a file of it open."""
        if _is_mounted(self.folder):
            _do("umount", "--lazy", str(self.folder))


@contextmanager
def loop_file_system(folder: Path, kind: str = "ext4", size: int = 20 * MIB) -> Iterator[Medium]:
    """A new file system in a file, for as long as the context lasts.

    Args:
        folder: Where its file and its mount point are made.
        kind: ext4, xfs, btrfs or exfat.
        size: How large the device is.
    """
    need_root("mounting a file system")
    make = _MAKE[kind]
    for program in (make[0], "losetup", "mount", "umount"):
        find(program)
    if kind == "exfat":
        find("mount.exfat-fuse")
    elif kind not in Path("/proc/filesystems").read_text().split():
        lacking(f"this kernel has no {kind}")
    number = sum(1 for _ in folder.glob("*.img"))
    image, point = folder / f"{kind}-{number}.img", folder / f"{kind}-{number}"
    with image.open("xb") as file:
        file.truncate(max(size, SMALLEST[kind]))
    point.mkdir()
    with ExitStack() as stack:
        device = _do("losetup", "--find", "--show", str(image)).strip()
        stack.callback(_do, "losetup", "--detach", device)
        _do(*make, device)
        medium = Medium(point, device, kind)
        medium.mount()
        stack.callback(medium.detach)
        yield medium
        # what a good test leaves can be unmounted; what a failed one leaves is detached
        medium.unmount()
    image.unlink()


@contextmanager
def lying_medium(folder: Path, *, real: int, claimed: int, wraps: bool = True) -> Iterator[Path]:
    """A mounted stick that says that it has more room than it has.

    Args:
        folder: Where its mount point is made.
        real: How many bytes it keeps.
        claimed: How many it says that it has.
        wraps: Whether what goes beyond overwrites what was written first; otherwise it is lost.
    """
    need_root("mounting a file system")
    find("fusermount3")
    if not Path("/dev/fuse").exists():
        lacking("this kernel has no FUSE")
    point = folder / "lying"
    point.mkdir()
    how = "wrap" if wraps else "lose"
    module = "tests.support.lying_medium"
    command = [sys.executable, "-m", module, str(point), str(real), str(claimed), how]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL)
    try:
        _await_mount(point, process)
        yield point
    finally:
        if _is_mounted(point):
            _do("fusermount3", "-u", "-z", str(point))
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def airgap_with_file_limit(home: Path, limit: int) -> Program:
    """Our command line where no file may grow beyond a limit, as on FAT32: EFBIG."""
    command = (find("prlimit"), f"--fsize={limit}", sys.executable, "-m", "airgap")
    return Program(command, home, {"PYTHONPATH": str(ROOT)})


@contextmanager
def seen_as(folder: Path, kind: str, *, by: Path) -> Iterator[None]:
    """Have airgap take a folder for a medium of another type, such as vfat.

    Args:
        folder: The folder.
        kind: The type as the kernel calls it.
        by: A folder for the list of mounts that is read instead of the kernel's.
    """
    listed = by / f"mountinfo-{kind}"
    point = str(folder.resolve()).replace("\\", "\\134").replace(" ", "\\040")
    real = filesystem.MOUNTINFO.read_text() if filesystem.MOUNTINFO.exists() else ""
    listed.write_text(f"{real}9999 1 8:17 / {point} rw - {kind} /dev/sdz1 rw\n")
    with patch.object(filesystem, "MOUNTINFO", listed):
        yield


def fill(folder: Path, *, leave: int) -> Path:
    """Write a file that leaves so many bytes free, or a little less; gives the file."""
    path = folder / "filler"
    size = max(shutil.disk_usage(folder).free - leave, 0)
    with path.open("xb", buffering=0) as file:
        # the file's own blocks of addresses may take the last of the room
        with suppress(OSError):
            while size > 0:
                size -= file.write(b"x" * min(size, MIB))
        os.fsync(file.fileno())
    return path


def _is_mounted(point: Path) -> bool:
    """Asked of the kernel's list, since a pulled medium answers nothing about its own folder."""
    lines = filesystem.MOUNTINFO.read_text().splitlines()
    return any(line.split(" ")[4] == str(point) for line in lines)


def _await_mount(point: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _MOUNT_SECONDS
    while not _is_mounted(point):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the lying medium was not mounted (code {process.poll()})")
        time.sleep(0.01)


def _do(name: str, *arguments: str) -> str:
    done = attempt([find(name), *arguments])
    if done.code:
        raise RuntimeError(f"{name} {' '.join(arguments)} gave {done.code}: {done.err or done.out}")
    return done.out


def attempt(command: Sequence[str]) -> Done:
    """Run a program of the system, whatever comes of it."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    out, err = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
    return Done(done.returncode, out, err)
