"""References from arguments and list files."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from airgap.errors import InvalidReferenceError, SettingsError
from airgap.oci.reference import Reference, without_credentials

MAX_FILE = 64 * 1024 * 1024
MAX_LINE = 1024
_HINT = "a list has one reference a line; # begins a comment"


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
    """
    references = [Reference.parse(text) for text in texts]
    for path in files:
        references += _read_file(path)
    if required and not references:
        raise SettingsError(
            "no references are given", hint="name images, or a list of them with -f FILE"
        )
    return tuple(dict.fromkeys(references))


def _read_file(path: Path) -> Iterator[Reference]:
    try:
        if str(path) == "-":
            yield from _read_list(sys.stdin.buffer, "standard input")
            return
        with path.open("rb") as file:
            yield from _read_list(file, str(path))
    except OSError as error:
        raise SettingsError(
            f"the list {path} cannot be read: {error.strerror or error}", hint=_HINT
        ) from error


def _read_list(file: BinaryIO, name: str) -> Iterator[Reference]:
    number, size = 0, 0
    while raw := file.readline(MAX_LINE + 1):
        number, size = number + 1, size + len(raw)
        where = f"{name}, line {number}"
        if size > MAX_FILE:
            raise SettingsError(f"{name} has more than {MAX_FILE} bytes", hint=_HINT)
        if len(raw) > MAX_LINE:
            raise SettingsError(f"{where} has more than {MAX_LINE} bytes", hint=_HINT)
        try:
            # The mark that some editors put before the first line (Unicode standard, 23.8).
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            raise SettingsError(f"{where} is not text in UTF-8", hint=_HINT) from error
        words = _words(line)
        if not words:
            continue
        if len(words) > 1:
            shown = without_credentials(line)
            raise SettingsError(f"{where}: {shown!r} has blanks in it", hint=_HINT)
        try:
            yield Reference.parse(words[0])
        except InvalidReferenceError as error:
            raise InvalidReferenceError(f"{where}: {error.message}", hint=error.hint) from error


def _words(line: str) -> list[str]:
    """The words before a comment, which begins with a # behind a blank."""
    words = line.split()
    comment = next((i for i, word in enumerate(words) if word.startswith("#")), len(words))
    return words[:comment]
