"""`trust.toml`: which keys and identities are trusted, since when and until when. Pure.

It says by name what it does not know, so that a mistyped date does not make a key count for ever.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from airgap.errors import SettingsError
from airgap.wording import visible

MAX_FILE = 1024 * 1024
MAX_REQUIRE = 100
_KEYS = frozenset({"name", "file", "pem", "not-before", "not-after", "revoker"})
_IDENTITY = frozenset({"name", "identity", "issuer", "root"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@+-]{0,63}")
_NAME_HINT = "a name is up to 64 letters from A to z, digits, spaces and . _ @ + -"


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A key that a trust file names.

    Attributes:
        name: What it is called.
        file: Where its PEM lies, seen from the trust file; empty where it stands here.
        pem: The PEM itself; empty where it lies in a file.
        not_before: When it begins to count.
        not_after: When it ceases to count.
        is_revoker: Whether it signs lists of revoked keys, and nothing else.
    """

    name: str
    file: str = ""
    pem: str = ""
    not_before: datetime | None = None
    not_after: datetime | None = None
    is_revoker: bool = False


@dataclass(frozen=True, slots=True)
class IdentityEntry:
    """Somebody who signs with Sigstore and without a key.

    Attributes:
        name: What they are called.
        identity: What the certificate says who they are.
        issuer: Who vouches for that.
        root: Where the trusted root lies, seen from the trust file.
    """

    name: str
    identity: str
    issuer: str
    root: str


@dataclass(frozen=True, slots=True)
class TrustFile:
    """What a trust file says.

    Attributes:
        require: How many must sign; None where it does not say.
        keys: The keys.
        identities: Those without a key.
        revocations: A signed list of revoked keys that always counts; empty for none.
    """

    require: int | None = None
    keys: tuple[KeyEntry, ...] = ()
    identities: tuple[IdentityEntry, ...] = ()
    revocations: str = ""

    @classmethod
    def parse(cls, raw: bytes, *, what: str) -> TrustFile:
        """Read a trust file.

        Args:
            raw: All of the file.
            what: Its name, for errors.

        Raises:
            SettingsError: It is damaged, or says something that is not known.
        """
        import tomllib  # only where there is such a file

        if len(raw) > MAX_FILE:
            raise SettingsError(
                f"{what} has more than {MAX_FILE} bytes", hint="a trust file is smaller: name it"
            )
        try:
            value = tomllib.loads(raw.decode())
        except (ValueError, RecursionError) as error:
            reason = visible(str(error).partition("\n")[0][:200])
            raise SettingsError(
                f"{what} is not a TOML file: {reason}",
                hint="mend it; `airgap key generate` prints the lines for a key",
            ) from error
        _check_keys(value, frozenset({"require", "key", "identity", "revocations"}), what)
        keys = tuple(_key(entry, what) for entry in _tables(value, "key", what))
        identities = tuple(_identity(entry, what) for entry in _tables(value, "identity", what))
        names = [key.name.casefold() for key in keys] + [one.name.casefold() for one in identities]
        double = next((name for name, count in Counter(names).items() if count > 1), None)
        if double is not None:
            raise SettingsError(f"{what} names {double!r} twice", hint="give each its own name")
        revocations = _text(value, "revocations", what) if "revocations" in value else ""
        return cls(_require(value.get("require"), what), keys, identities, revocations)


def is_name(text: str) -> bool:
    """Whether a text can be the name of a key: nothing in it looks like something else."""
    return _NAME.fullmatch(text) is not None


def key_snippet(name: str, file: str, start: date | None, end: date | None) -> list[str]:
    """The lines of a trust file that trust a key.

    Args:
        name: What it is called.
        file: Where its PEM lies, seen from the trust file.
        start: When it begins to count.
        end: When it ceases to count.
    """
    lines = ["[[key]]", f'name = "{name}"', f'file = "{file}"']
    lines += [f"not-before = {start.isoformat()}"] if start else []
    lines += [f"not-after = {end.isoformat()}"] if end else []
    return lines


def start_of(value: date) -> datetime:
    """The first moment of a date, or the moment itself; without an offset it is UTC."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    return datetime.combine(value, time.min, UTC)


def end_of(value: date) -> datetime:
    """The last moment of a date, or the moment itself; without an offset it is UTC."""
    if isinstance(value, datetime):
        return start_of(value)
    return datetime.combine(value, time.max, UTC)


def _key(entry: Mapping[str, Any], what: str) -> KeyEntry:
    _check_keys(entry, _KEYS, what)
    name = _name(entry, what)
    if ("file" in entry) == ("pem" in entry):
        raise SettingsError(
            f"{what}: the key {name} needs one of file and pem", hint='write: file = "release.pub"'
        )
    place = f"{what}: the key {name}"
    start, end = _date(entry, "not-before", place), _date(entry, "not-after", place)
    begin = None if start is None else start_of(start)
    finish = None if end is None else end_of(end)
    if begin and finish and begin > finish:
        raise SettingsError(
            f"{place} ceases to count before it begins", hint="mend not-before or not-after"
        )
    revoker = entry.get("revoker", False)
    if not isinstance(revoker, bool):
        raise SettingsError(
            f"{place}: revoker must be true or false", hint="without quotes: revoker = true"
        )
    source = "file" if "file" in entry else "pem"
    text = {source: _text(entry, source, place)}
    return KeyEntry(name, **text, not_before=begin, not_after=finish, is_revoker=revoker)


def _identity(entry: Mapping[str, Any], what: str) -> IdentityEntry:
    _check_keys(entry, _IDENTITY, what)
    name = _name(entry, what)
    place = f"{what}: the identity {name}"
    parts = (_text(entry, key, place) for key in ("identity", "issuer", "root"))
    return IdentityEntry(name, *parts)


def _name(entry: Mapping[str, Any], what: str) -> str:
    name = _text(entry, "name", what)
    if not is_name(name):
        raise SettingsError(f"{what}: {name[:80]!a} is no name of a key", hint=_NAME_HINT)
    return name


def _text(entry: Mapping[str, Any], key: str, what: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value or "\0" in value:
        raise SettingsError(f"{what}: {key} must be a text", hint=f'in quotes: {key} = "…"')
    return value


def _date(entry: Mapping[str, Any], key: str, place: str) -> date | None:
    value = entry.get(key)
    if value is not None and not isinstance(value, date):
        raise SettingsError(
            f"{place}: {key} must be a date", hint=f"without quotes: {key} = 2027-01-31"
        )
    return value


def _require(value: object, what: str) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_REQUIRE:
        raise SettingsError(
            f"{what}: require must be a whole number from 1 to {MAX_REQUIRE}",
            hint="without quotes: require = 2",
        )
    return value


def _tables(value: Mapping[str, Any], key: str, what: str) -> list[Mapping[str, Any]]:
    entries = value.get(key, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise SettingsError(f"{what}: {key} must be a list of tables", hint=f"write: [[{key}]]")
    return entries


def _check_keys(value: Mapping[str, Any], known: frozenset[str], what: str) -> None:
    unknown = sorted(value.keys() - known)
    if unknown:
        raise SettingsError(
            f"{what}: unknown key {unknown[0][:60]!a}",
            hint=f"known keys: {', '.join(sorted(known))}; a newer airgap may know more",
        )
