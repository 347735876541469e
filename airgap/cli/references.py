"""References from arguments, list files and lock files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airgap.cli.list_file import ListLine, list_lines, opened_list
from airgap.errors import InvalidReferenceError, SettingsError
from airgap.oci.platform import Platform
from airgap.oci.reference import Reference, without_credentials
from airgap.record.lock_format import MAX_SIZE as MAX_LOCK
from airgap.record.lock_format import is_lock

if TYPE_CHECKING:  # a list of names needs none
    from airgap.record.lock import Lock

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


def read_wanted(texts: Iterable[str], files: Iterable[Path], *, required: bool = True) -> Wanted:
    """Read the references of arguments, then those of lists and lock files, each one once.

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
    head: bytearray | None = bytearray()  # all before the first line that is more than a comment
    with opened_list(path, hint=_HINT) as (file, name):
        for line in list_lines(file, name, hint=_HINT):
            if head is not None:
                head += line.raw
            if not line.words:
                continue
            if head is not None and is_lock(line.raw):
                from airgap.record.lock import Lock  # only where there is one

                lock = Lock.parse(bytes(head) + file.read(MAX_LOCK + 1), name=name)
                locks.append(lock)
                yield from (image.pinned for image in lock.images)
                return
            head = None
            yield _reference(line)


def _reference(line: ListLine) -> Reference:
    if len(line.words) > 1:
        shown = without_credentials(line.text)
        raise SettingsError(f"{line.where}: {shown!r} has blanks in it", hint=_HINT)
    try:
        return Reference.parse(line.words[0])
    except InvalidReferenceError as error:
        raise InvalidReferenceError(f"{line.where}: {error.message}", hint=error.hint) from error
