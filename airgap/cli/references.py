"""References from arguments, list files and lock files."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from airgap.errors import InvalidReferenceError, SettingsError
from airgap.oci.platform import Platform
from airgap.oci.reference import Reference, without_credentials
from airgap.record.lock_format import MAX_SIZE as MAX_LOCK
from airgap.record.lock_format import is_lock

if TYPE_CHECKING:  # a list of names needs none
    from airgap.record.lock import Lock

MAX_FILE = 64 * 1024 * 1024
MAX_LINE = 1024
_HINT = "a list has one reference a line; # begins a comment"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a user asks for.

    Attributes:
        references: Each one once; those of lock files are pinned.
        locks: The lock files among the lists.
    """

    references: tuple[Reference, ...]
    locks: tuple[Lock, ...] = ()

    @property
    def platforms(self) -> tuple[Platform, ...]:
        """The platforms that the lock files were made for; none means all.

        Raises:
            SettingsError: They were made for different ones.
        """
        found = {lock.platforms for lock in self.locks}
        if len(found) > 1:
            raise SettingsError(
                "the lock files were made for different platforms",
                hint="say with --platform which of them are wanted",
            )
        return next(iter(found), ())


def read_references(
    texts: Iterable[str], files: Iterable[Path], *, required: bool = True
) -> tuple[Reference, ...]:
    """Read the references of arguments, then those of list files, each one once.

    Args:
        texts: As users write them.
        files: Lists, one reference a line; `-` is standard input.
        required: Whether it is an error to give none.

    Raises:
        SettingsError: A reference or a list makes no sense (file and line are named), or there
            is no reference at all and one is required.
        BundleFormatError: A lock file is damaged, or needs a newer airgap.
    """
    return read_wanted(texts, files, required=required).references


def read_wanted(texts: Iterable[str], files: Iterable[Path], *, required: bool = True) -> Wanted:
    """Read the references of arguments, then those of lists and lock files.

    Args:
        texts: As users write them.
        files: Lists, one reference a line, and lock files; `-` is standard input. What is in a
            file tells which of the two it is.
        required: Whether it is an error to give none.

    Raises:
        SettingsError: A reference or a list makes no sense (file and line are named), or there
            is no reference at all and one is required.
        BundleFormatError: A lock file is damaged, or needs a newer airgap.
    """
    references = [Reference.parse(text) for text in texts]
    locks: list[Lock] = []
    for path in files:
        references += _read_file(path, locks)
    if required and not references:
        raise SettingsError(
            "no references are given", hint="name images, or a list of them with -f FILE"
        )
    return Wanted(tuple(dict.fromkeys(references)), tuple(locks))


def _read_file(path: Path, locks: list[Lock]) -> Iterator[Reference]:
    try:
        if str(path) == "-":
            yield from _read_list(sys.stdin.buffer, "standard input", locks)
            return
        with path.open("rb") as file:
            yield from _read_list(file, str(path), locks)
    except OSError as error:
        raise SettingsError(
            f"the list {path} cannot be read: {error.strerror or error}", hint=_HINT
        ) from error


def _read_list(file: BinaryIO, name: str, locks: list[Lock]) -> Iterator[Reference]:
    number, size = 0, 0
    head: bytearray | None = bytearray()  # all before the first line that is more than a comment
    while raw := file.readline(MAX_LINE + 1):
        number, size = number + 1, size + len(raw)
        where = f"{name}, line {number}"
        if size > MAX_FILE:
            raise SettingsError(f"{name} has more than {MAX_FILE} bytes", hint=_HINT)
        line = _line(raw, where, is_first=number == 1)
        words = _words(line)
        if head is not None:
            head += raw
        if not words:
            continue
        if head is not None and is_lock(raw):
            from airgap.record.lock import Lock  # only where there is one

            lock = Lock.parse(bytes(head) + file.read(MAX_LOCK + 1), name=name)
            locks.append(lock)
            yield from (image.pinned for image in lock.images)
            return
        head = None
        if len(words) > 1:
            shown = without_credentials(line)
            raise SettingsError(f"{where}: {shown!r} has blanks in it", hint=_HINT)
        try:
            yield Reference.parse(words[0])
        except InvalidReferenceError as error:
            raise InvalidReferenceError(f"{where}: {error.message}", hint=error.hint) from error


def _line(raw: bytes, where: str, *, is_first: bool) -> str:
    if len(raw) > MAX_LINE:
        raise SettingsError(f"{where} has more than {MAX_LINE} bytes", hint=_HINT)
    try:
        # The mark that some editors put before the first line (Unicode standard, 23.8).
        return raw.decode("utf-8-sig" if is_first else "utf-8").strip()
    except UnicodeDecodeError as error:
        raise SettingsError(f"{where} is not text in UTF-8", hint=_HINT) from error


def _words(line: str) -> list[str]:
    """The words before a comment, which begins with a # behind a blank."""
    words = line.split()
    comment = next((i for i, word in enumerate(words) if word.startswith("#")), len(words))
    return words[:comment]
