"""Events, results and errors as lines of JSON (docs/json-output.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from airgap.errors import AirgapError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.platform import Platform
from airgap.oci.reference import Reference
from airgap.run import Event
from airgap.run.events import BlobAdvanced

if TYPE_CHECKING:
    from airgap.cli.output import Output

ADVANCE_SECONDS = 1.0
"""A blob's advance is written at most once in so many seconds."""

_TEXTS = (Digest, Platform, Reference, PurePath)
_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")


def encode(value: object) -> Any:  # noqa: ANN401 (JSON is anything)
    """Turn values into what JSON knows.

    Descriptors stand as in an OCI document; digests, platforms and references as texts; other
    values as objects with their field names, without what is marked as not for people.
    """
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Descriptor):
        return value.to_json()
    if isinstance(value, _TEXTS):
        return str(value)
    if isinstance(value, AirgapError):
        return _error(value)
    if isinstance(value, Enum):
        return encode(value.value)
    if isinstance(value, Mapping):
        return {str(encode(key)): encode(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        entries = sorted(value) if isinstance(value, set | frozenset) else value
        return [encode(entry) for entry in entries]
    if is_dataclass(value):
        return {f.name: encode(getattr(value, f.name)) for f in fields(value) if f.repr}
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def type_name(event_class: type) -> str:
    """What stands in `type`: the class's name in lower case with hyphens."""
    return _WORD.sub("-", event_class.__name__).lower()


def event_line(event: Event, *, when: datetime | None = None) -> str:
    """The line of an event, with its time for a log."""
    time = {"time": when.isoformat(timespec="milliseconds")} if when else {}
    return _line(time | {"type": type_name(type(event))} | encode(event))


def result_line(result: object, *, command: str) -> str:
    """The line of a result."""
    return _line({"type": "result", "command": command} | encode(result))


def error_line(error: AirgapError, *, when: datetime | None = None) -> str:
    """The line of an error, with its time for a log."""
    time = {"time": when.isoformat(timespec="milliseconds")} if when else {}
    return _line(time | {"type": "error"} | _error(error))


class JsonSink:
    """Writes events as lines.

    Args:
        output: Where they go.
        has_times: Whether each line says when it happened.
    """

    def __init__(self, output: Output, *, has_times: bool = False) -> None:
        self._output = output
        self._has_times = has_times
        self._written: dict[tuple[Digest, str], datetime] = {}

    def take(self, event: Event, when: datetime, /) -> None:
        """Write an event, or leave out an advance that follows another one closely."""
        descriptor = getattr(event, "descriptor", None)
        if isinstance(descriptor, Descriptor):
            key = (descriptor.digest, getattr(event, "place", ""))
            if isinstance(event, BlobAdvanced):
                before = self._written.get(key)
                if before and (when - before).total_seconds() < ADVANCE_SECONDS:
                    return
                self._written[key] = when
            else:
                self._written.pop(key, None)
        self._output.write(event_line(event, when=when if self._has_times else None))

    def tick(self) -> None:
        """Everything was written as it came."""

    def close(self) -> None:
        """Everything was written as it came."""


def _error(error: AirgapError) -> dict[str, Any]:
    value: dict[str, Any] = {
        "code": error.code,
        "exit": int(error.exit_code),
        "message": error.message,
        "hint": error.hint,
    }
    data = {k: v for k, v in vars(error).items() if k not in value and v not in (None, "", ())}
    return value | {name: encode(entry) for name, entry in sorted(data.items())}


def _line(value: dict[str, Any]) -> str:
    # ASCII only: what a terminal would obey never reaches one, whatever a server sent.
    return json.dumps(value, separators=(",", ":")).replace("\x7f", "\\u007f")
