"""Lists that users give in files: one name a line, with comments and blank lines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from airgap.errors import SettingsError

MAX_FILE = 64 * 1024 * 1024
MAX_LINE = 1024


class ListLine(NamedTuple):
    """A line of a list.

    Attributes:
        raw: Its bytes, with its end.
        text: What stands in it, without blanks around it.
        words: The words before a comment, which begins with a # behind a blank.
        where: The list and the number of the line, for messages.
    """

    raw: bytes
    text: str
    words: tuple[str, ...]
    where: str


@contextmanager
def opened_list(path: Path, *, hint: str) -> Iterator[tuple[BinaryIO, str]]:
    """Open a list.

    Args:
        path: Where it is; `-` is standard input.
        hint: What a list of this kind is like.

    Returns:
        The open file, and what it is called in messages.

    Raises:
        SettingsError: It cannot be read.
    """
    try:
        if str(path) == "-":
            yield sys.stdin.buffer, "standard input"
            return
        with path.open("rb") as file:
            yield file, str(path)
    except OSError as error:
        raise SettingsError(
            f"the list {path} cannot be read: {error.strerror or error}",
            hint=f"check that the file is there and that you may read it; {hint}",
        ) from error


def list_lines(file: BinaryIO, name: str, *, hint: str) -> Iterator[ListLine]:
    """The lines of a list, read as they are asked for.

    Args:
        file: The open list.
        name: What it is called in messages.
        hint: What a list of this kind is like.

    Raises:
        SettingsError: It is no text, or too large.
    """
    number, size = 0, 0
    while raw := file.readline(MAX_LINE + 1):
        number, size = number + 1, size + len(raw)
        where = f"{name}, line {number}"
        if size > MAX_FILE:
            raise SettingsError(f"{name} has more than {MAX_FILE} bytes", hint=hint)
        if len(raw) > MAX_LINE:
            raise SettingsError(f"{where} has more than {MAX_LINE} bytes", hint=hint)
        try:
            # The mark that some editors put before the first line (Unicode standard, 23.8).
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            raise SettingsError(f"{where} is not text in UTF-8", hint=hint) from error
        words = text.split()
        comment = next((i for i, word in enumerate(words) if word.startswith("#")), len(words))
        yield ListLine(raw, text, tuple(words[:comment]), where)
