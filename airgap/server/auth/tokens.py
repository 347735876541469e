"""Tokens: short-lived, signed with a key that never leaves the folder of the users.

Only this server reads what it signs, so a shared key (HS256) is enough. Sources: RFC 7519;
distribution's "Token Authentication Implementation" for the claims.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt

from airgap.content.atomic import PRIVATE, make_folder, write_file
from airgap.content.storage import storage_error
from airgap.errors import SettingsError
from airgap.oci.digest import keyed_digest
from airgap.server.access import Grants
from airgap.server.auth.scopes import from_claim, to_claim
from airgap.server.auth.users import lock_folder

LIFETIME = 300
"""Seconds that a token lives. Rules are looked at when it is used as well."""
REFRESH_LIFETIME = 365 * 86_400
"""Seconds that `docker login` lasts where it keeps a token instead of the password."""
LEEWAY = 10
"""Seconds that a clock may have been turned back."""
MAX_TOKEN = 7_500
"""Characters of a token; a header may have 8190."""
MAX_KNOWN = 8_192
KEY_BYTES = 32

_ALGORITHM = "HS256"
_REFRESH = "refresh"
_OPTIONS: Any = {
    "require": ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"],
    # these are checked here, by a clock that tests can set
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
}


class TokenError(Exception):
    """A token does not count; the message says why."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says.

    Attributes:
        name: Whose it is; empty for anonymous.
        stamp: What changes with that user's password.
        grants: What it allows.
        starts: From when on it counts, in seconds since 1970.
        expires: Until when.
    """

    name: str
    stamp: str
    grants: Grants
    starts: float
    expires: float


class Tokens:
    """Signs and reads tokens.

    Args:
        key: The secret.
        service: For whom tokens are: their audience.
        now: Gives seconds since 1970.
    """

    def __init__(self, key: bytes, service: str, *, now: Callable[[], float]) -> None:
        self._key = key
        self._service = service
        self._now = now
        self._known: OrderedDict[bytes, Claims] = OrderedDict()

    @property
    def service(self) -> str:
        """For whom tokens are."""
        return self._service

    def issue(self, name: str, stamp: str, grants: Grants) -> str:
        """Sign a token for a request.

        Raises:
            TokenError: It would be too long for a header.
        """
        token = self._sign(name, stamp, self._service, LIFETIME, {"access": to_claim(grants)})
        if len(token) > MAX_TOKEN:
            raise TokenError("a token for so much does not fit into a header")
        return token

    def issue_refresh(self, name: str, stamp: str) -> str:
        """Sign a token that gets others, in place of a password."""
        return self._sign(name, stamp, self._refresh_service, REFRESH_LIFETIME, {})

    def read(self, token: str) -> Claims:
        """Read a token that came with a request. Cheap for one that came before.

        Raises:
            TokenError: It is not ours, for something else, or not for now.
        """
        if len(token) > MAX_TOKEN:
            raise TokenError("the token is too long")
        key = keyed_digest(self._key, token.encode("utf-8", "surrogatepass"))
        claims = self._known.get(key)
        if claims is None:
            claims = self._verified(token, self._service)
            self._check_time(claims)
            self._known[key] = claims
            while len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        else:
            self._check_time(claims)
        return claims

    def read_refresh(self, token: str) -> Claims:
        """Read a token that came in place of a password.

        Raises:
            TokenError: It is not ours, for something else, or not for now.
        """
        claims = self._verified(token, self._refresh_service)
        self._check_time(claims)
        return claims

    def stamp(self, name: str, stored: str) -> str:
        """What changes with a user's password and tells nothing about it."""
        return keyed_digest(self._key, b"stamp", name.encode(), stored.encode()).hex()[:24]

    @property
    def _refresh_service(self) -> str:
        return f"{self._service}#{_REFRESH}"

    def _sign(
        self, name: str, stamp: str, audience: str, lifetime: int, more: dict[str, Any]
    ) -> str:
        now = int(self._now())
        claims = {
            "iss": self._service,
            "sub": name,
            "aud": audience,
            "iat": now,
            "nbf": now,
            "exp": now + lifetime,
            "jti": secrets.token_hex(16),
            "stamp": stamp,
            **more,
        }
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM)

    def _verified(self, token: str, audience: str) -> Claims:
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[_ALGORITHM],
                audience=audience,
                issuer=self._service,
                options=_OPTIONS,
            )
            return Claims(
                str(claims["sub"]),
                str(claims.get("stamp", "")),
                from_claim(claims.get("access", [])),
                float(claims["nbf"]) - LEEWAY,
                float(claims["exp"]),
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise TokenError("the token is not one of this registry") from error

    def _check_time(self, claims: Claims) -> None:
        now = self._now()
        if now >= claims.expires:
            raise TokenError("the token has expired")
        if now < claims.starts:
            raise TokenError("the token is not valid yet")


def load_key(folder: Path) -> bytes:
    """Read the key of a folder of users, or make one that only its owner may read.

    Raises:
        StorageError: It can be neither read nor written.
        SettingsError: The file is no key.
    """
    path = folder / "keys" / "token.key"
    found = _read_key(path)
    if found is not None:
        return found
    make_folder(folder, mode=PRIVATE)
    make_folder(path.parent, mode=PRIVATE)
    with lock_folder(folder):
        found = _read_key(path)
        if found is None:
            found = secrets.token_bytes(KEY_BYTES)
            write_file(path, f"{found.hex()}\n".encode(), mode=0o600, like=folder)
    return found


def _read_key(path: Path) -> bytes | None:
    try:
        text = path.read_bytes()[:1024].decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error(error, path) from error
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise SettingsError(
            f"{path} is not a key of airgap",
            hint="remove it to get a new one; whoever is signed in by a token signs in again",
        )
    return key
