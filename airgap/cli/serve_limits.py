"""The limits of `airgap serve`, as options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypedDict

import click

from airgap.cli.values import as_seconds, as_size
from airgap.server.limits import Limits
from airgap.server.settings import RegistrySettings

Command = Callable[..., Any]

_LIMITS = Limits()
_SETTINGS = RegistrySettings()


class LimitFlags(TypedDict):
    """The limits; None is the default."""

    max_connections: int | None
    max_connections_per_address: int | None
    max_headers: int | None
    max_header_size: str | None
    max_manifest_size: str | None
    max_blob_size: str | None
    header_timeout: str | None
    idle_timeout: str | None
    rate_timeout: str | None
    min_rate: str | None
    stop_timeout: str | None


def limit_options(command: Command) -> Command:
    """Add the options of limits."""
    count = click.IntRange(min=1)
    for name, kind, metavar, text, default in reversed(
        (
            ("--max-connections", count, "N", "clients at once", _LIMITS.connections),
            (
                "--max-connections-per-address", count, "N", "clients at once from one address",
                _LIMITS.connections_per_address,
            ),
            ("--max-headers", count, "N", "headers of a request", _LIMITS.header_count),
            ("--max-header-size", str, "SIZE", "one header", f"{_LIMITS.header_bytes}"),
            ("--max-manifest-size", str, "SIZE", "a manifest", f"{_SETTINGS.max_manifest}"),
            ("--max-blob-size", str, "SIZE", "a blob", "as there is room"),
            ("--header-timeout", str, "TIME", "to say what is wanted", _LIMITS.header_seconds),
            ("--idle-timeout", str, "TIME", "a connection without requests", _LIMITS.idle_seconds),
            ("--rate-timeout", str, "TIME", "over which speed is measured", _LIMITS.rate_seconds),
            ("--min-rate", str, "SIZE", "a second, else it is given up", _LIMITS.rate_bytes),
            ("--stop-timeout", str, "TIME", "to finish when stopping", _LIMITS.shutdown_seconds),
        )
    ):  # fmt: skip
        kinds = {"N": "At most so many", "SIZE": "At most so large:", "TIME": "At most so long:"}
        begin = "At least so much" if name == "--min-rate" else kinds[metavar]
        shown = f"{default:g}" if isinstance(default, float) else default
        help_text = f"{begin} {text} (default {shown})."
        command = click.option(name, type=kind, metavar=metavar, help=help_text)(command)
    return command


def read_limits(flags: LimitFlags) -> Limits:
    """The limits of a server.

    Raises:
        SettingsError: One makes no sense.
    """
    given: dict[str, Any] = {
        "connections": flags["max_connections"],
        "connections_per_address": flags["max_connections_per_address"],
        "header_count": flags["max_headers"],
        "header_bytes": _size(flags["max_header_size"], "--max-header-size"),
        "rate_bytes": _size(flags["min_rate"], "--min-rate"),
        "header_seconds": _time(flags["header_timeout"], "--header-timeout"),
        "idle_seconds": _time(flags["idle_timeout"], "--idle-timeout"),
        "rate_seconds": _time(flags["rate_timeout"], "--rate-timeout"),
        "shutdown_seconds": _time(flags["stop_timeout"], "--stop-timeout"),
    }
    return replace(_LIMITS, **{name: value for name, value in given.items() if value is not None})


def read_settings(flags: LimitFlags) -> RegistrySettings:
    """The settings of a registry.

    Raises:
        SettingsError: One makes no sense.
    """
    manifest = _size(flags["max_manifest_size"], "--max-manifest-size")
    blob = _size(flags["max_blob_size"], "--max-blob-size")
    settings = replace(_SETTINGS, max_blob=blob)
    return settings if manifest is None else replace(settings, max_manifest=manifest)


def _size(text: str | None, name: str) -> int | None:
    return None if text is None else as_size(text, name)


def _time(text: str | None, name: str) -> float | None:
    return None if text is None else as_seconds(text, name)
