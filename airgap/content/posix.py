"""What only POSIX has, in one place, so that another system needs no other module changed.

The functions raise `OSError`; callers translate it with `airgap.content.storage`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import select
import socket
import struct
import sys
import termios
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_MEDIA = (("media",), ("mnt",), ("run", "media"), ("Volumes",))
_TCP_INFO_SIZE = 136
_TCP_INFO_BYTES = struct.Struct("@QQ")
_TCP_INFO_OFFSET = 120
_SIOCGIFADDR = 0x8915
_SCOPE_LINK = "20"
_CANNOT_ALLOCATE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


def write_at(fd: int, data: bytes | memoryview, offset: int) -> None:
    """Write all the bytes at an offset, without moving the file's position."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written


def read_at(fd: int, size: int, offset: int) -> bytes:
    """Read up to so many bytes at an offset, without moving the file's position."""
    return os.pread(fd, size, offset)


def read_into(fd: int, buffers: Sequence[bytearray | memoryview], offset: int) -> int:
    """Fill buffers from an offset on and tell how many bytes there were."""
    return os.preadv(fd, buffers, offset)


def has_input(fd: int, seconds: float) -> bool:
    """Wait for input, or its end, at most so long; and tell whether reading would not wait."""
    return bool(select.select([fd], [], [], seconds)[0])


def sync_data(fd: int) -> None:
    """Make the bytes of a file durable."""
    if sys.platform == "darwin":
        # fsync there only hands the bytes to the drive, which may keep them in its cache
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(fd)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: what was created, renamed or removed there."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def give_owner(fd: int, like: Path) -> None:
    """Give a file the owner and group of another one, where this process may do that."""
    if os.geteuid() == 0:
        found = like.stat()
        os.fchown(fd, found.st_uid, found.st_gid)


def lock(fd: int) -> bool:
    """Lock a file for this process; False where somebody else has it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for_lock(fd: int, *, shared: bool = False) -> None:
    """Lock a file for this process, once those let it go that have it; for what takes no time.

    Args:
        fd: The file.
        shared: Whether others may have it in the same way: for reading only.
    """
    fcntl.flock(fd, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)


def unlock(fd: int) -> None:
    """Let others lock a file that this process has locked."""
    fcntl.flock(fd, fcntl.LOCK_UN)


def allocate(fd: int, end: int, *, offset: int = 0) -> bool:
    """Reserve room up to an end, and from an offset on; False where that cannot be done."""
    if sys.platform == "darwin":
        return False
    else:  # noqa: RET505 - a type checker for darwin must not see what follows
        try:
            os.posix_fallocate(fd, offset, end - offset)
        except OSError as error:
            if error.errno in _CANNOT_ALLOCATE:
                return False
            raise
        return True


def free_bytes(folder: Path) -> int:
    """How many bytes may still be written to the file system that a folder is on."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def mount_point(folder: Path) -> Path:
    """The folder at which the file system that a folder is on is mounted."""
    place = folder.resolve()
    while not os.path.ismount(place):
        place = place.parent
    return place


def is_medium(folder: Path) -> bool:
    """Whether a folder lies on a medium that people mount and take away."""
    parts = mount_point(folder).parts[1:]
    return any(parts[: len(media)] == media for media in _MEDIA)


def takes_size(fd: int, size: int) -> bool:
    """Whether the file system lets a file be so large: on FAT it ends at 4 GiB.

    Asked by seeking there, which touches nothing; what cannot tell says yes.
    """
    try:
        os.lseek(fd, size, os.SEEK_SET)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EOVERFLOW, errno.EFBIG):
            return False
        raise
    return True


def drop_cache(fd: int, offset: int, length: int) -> None:
    """Have bytes that are on the medium read from there next time; where that can be asked."""
    if sys.platform != "darwin":
        os.posix_fadvise(fd, offset, length, os.POSIX_FADV_DONTNEED)


def widen_pipe(fd: int, size: int) -> None:
    """Let a pipe hold so many bytes, where the system lets that be asked for.

    Fewer switches between its ends; where it is refused, the pipe works just as well.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, size)


class Traffic(NamedTuple):
    """What a TCP connection has moved.

    Attributes:
        moved: How many bytes the peer has taken and sent, together.
        pending: How many bytes wait for the peer to take them.
    """

    moved: int
    pending: int


def socket_traffic(fd: int) -> Traffic | None:
    """What a TCP connection has moved as the kernel knows it; None where it cannot be asked.

    Also bytes that the system sends by itself (sendfile) are counted. Source: linux/tcp.h,
    `struct tcp_info`, whose fields `tcpi_bytes_acked` and `tcpi_bytes_received` are these.
    """
    if sys.platform == "linux":
        try:
            with socket.socket(fileno=os.dup(fd)) as copy:
                raw = copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
                waiting = fcntl.ioctl(copy.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
        except OSError:
            return None
        if len(raw) >= _TCP_INFO_SIZE:
            acked, received = _TCP_INFO_BYTES.unpack_from(raw, _TCP_INFO_OFFSET)
            return Traffic(acked + received, int.from_bytes(waiting, sys.byteorder))
    return None


def yield_to_others() -> None:
    """Let the thread that calls this work only when nobody else wants to, where that is possible.

    A thread has a priority of its own on Linux; elsewhere it would be that of the whole process.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


def raise_open_files() -> int:
    """Let this process open as many files as it may, and tell how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # some systems name a hard limit that they do not take
        return soft
    return hard


def interface_addresses() -> tuple[str, ...]:
    """The addresses of this machine but for those that only links know; empty where unknown.

    Sources: netdevice(7), SIOCGIFADDR; the kernel's /proc/net/if_inet6.
    """
    return _interface_addresses() if sys.platform == "linux" else ()


def _interface_addresses() -> tuple[str, ...]:
    found: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for _, name in socket.if_nameindex():
            request = struct.pack("16s240x", name.encode()[:15])
            try:
                answer = fcntl.ioctl(asked.fileno(), _SIOCGIFADDR, request)
            except OSError:  # one without an address
                continue
            found.append(socket.inet_ntop(socket.AF_INET, answer[20:24]))
    try:
        lines = Path("/proc/net/if_inet6").read_text(encoding="ascii").splitlines()
    except OSError:
        lines = []
    for line in lines:
        address, _, _, scope, *_ = line.split()
        if scope != _SCOPE_LINK:
            found.append(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(address)))
    return tuple(dict.fromkeys(found))
