"""Errors of bundles and layouts that are read as a source say so, and which of them it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airgap.errors import AirgapError


@contextmanager
def saying_source(name: str) -> Iterator[None]:
    """Let errors that are raised inside say that they came from the source, and from which.

    Raises:
        AirgapError: What was raised inside.
    """
    try:
        yield
    except AirgapError as error:
        say_source(error, name)
        raise


def say_source(error: AirgapError, name: str) -> None:
    """Let an error of a bundle say that it came from the source, and from which."""
    error.origin = "source"
    if name not in error.message:
        error.message = f"{name}: {error.message}"
