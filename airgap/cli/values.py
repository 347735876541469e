"""The values of settings: read from text or TOML, refused with the name of their place."""

from __future__ import annotations

import math
import re
from pathlib import Path

from airgap.errors import InvalidContentError, SettingsError
from airgap.oci.digest import Digest
from airgap.oci.reference import is_registry, without_credentials

MAX_JOBS = 256
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h)?")
_SIZE = re.compile(r"([0-9]{1,15})\s*([kKmMgGtT]?)B?")
_THOUSANDS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_UNITS = {None: 1, "s": 1, "m": 60, "h": 3600}
_FLAGS = {
    "1": True, "true": True, "yes": True, "on": True,
    "0": False, "false": False, "no": False, "off": False,
}  # fmt: skip


def as_hosts(value: object, origin: str) -> frozenset[str]:
    """Read hosts: a list, or text with commas."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise _wrong(origin, "must be a list of hosts")
    hosts = [str(part).strip() for part in parts]
    for host in hosts:
        if not is_registry(host):
            raise _wrong(
                origin, f"{without_credentials(host)!r} is not a host", "write HOST or HOST:PORT"
            )
    return frozenset(hosts)


def as_path(value: object, origin: str) -> Path:
    """Read the path of a file; `~` is the home folder."""
    if isinstance(value, Path):
        value = str(value)
    if not isinstance(value, str) or not value or "\0" in value:
        raise _wrong(origin, "must be the path of a file")
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise _wrong(origin, "names a home folder that there is none of") from error


def as_paths(value: object, origin: str) -> tuple[Path, ...]:
    """Read paths of files: a list, or text with colons, as in PATH."""
    parts = value.split(":") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise _wrong(origin, "must be a list of paths")
    return tuple(as_path(part, origin) for part in parts)


def as_required(value: object, origin: str) -> int:
    """Read how many must have signed."""
    return _integer(value, origin, 1, 100)


def as_text(value: object, origin: str) -> str:
    """Read a text that is not shown in errors: it may hold a password."""
    if not isinstance(value, str) or not value.isprintable():
        raise _wrong(origin, "must be a text")
    return value


def as_count(value: object, origin: str) -> int:
    """Read a number that is not negative."""
    return _integer(value, origin, 0, 1000)


def as_jobs(value: object, origin: str) -> int:
    """Read how many things go on at once."""
    return _integer(value, origin, 1, MAX_JOBS)


def as_seconds(value: object, origin: str) -> float:
    """Read a time: seconds, or a number with s, m or h behind it."""
    seconds: float = -1
    if isinstance(value, str) and (found := _SECONDS.fullmatch(value.strip())):
        seconds = float(found[1]) * _UNITS[found[2]]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    if not (math.isfinite(seconds) and 0 < seconds <= 7 * 86400):
        raise _wrong(origin, "must be a time above 0", "write seconds, or 5m, or 1h")
    return seconds


def as_size(value: object, origin: str) -> int:
    """Read a number of bytes, with k, M, G or T behind it for thousands of them."""
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise _wrong(origin, "must be a size", "write bytes, or 500M, or 20G")
    return int(found[1]) * _THOUSANDS[found[2].lower()]


def as_digest(
    value: str, origin: str, *, what: str = "a bundle id", printed_by: str = ""
) -> Digest:
    """Read a bundle's id, or another digest that a command prints.

    Args:
        value: The text.
        origin: The option that it comes from.
        what: What it is called.
        printed_by: What prints it; by default what prints bundle ids.

    Raises:
        SettingsError: It is none.
    """
    try:
        return Digest.parse(value.strip())
    except InvalidContentError as error:
        raise SettingsError(
            f"{origin} {value[:200]!r} is not {what}",
            hint="it is sha256: and 64 hex digits, as "
            f"{printed_by or 'export and inspect print it'}",
        ) from error


def as_flag(value: object, origin: str) -> bool:
    """Read yes or no."""
    if isinstance(value, bool):
        return value
    flag = _FLAGS.get(value.strip().lower()) if isinstance(value, str) else None
    if flag is None:
        raise _wrong(origin, "must be true or false")
    return flag


def _integer(value: object, origin: str, lowest: int, highest: int) -> int:
    number = lowest - 1
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value.strip()):
        number = int(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    if not lowest <= number <= highest:
        raise _wrong(
            origin, f"must be a whole number from {lowest} to {highest}", "write it in digits"
        )
    return number


def _wrong(origin: str, problem: str, hint: str | None = None) -> SettingsError:
    return SettingsError(
        f"{origin} {problem}" if problem[0] != "'" else f"{origin}: {problem}", hint=hint
    )


def as_seekable(path: Path) -> Path:
    """Read the path of a bundle that is not read from front to back.

    Raises:
        SettingsError: It is `-`, standard input.
    """
    if str(path) == "-":
        raise SettingsError(
            "this needs a file: it is read at several places, and a pipe gives it only once",
            hint="write it to a file first; `airgap import bundle -` takes a bundle from a pipe",
        )
    return path
