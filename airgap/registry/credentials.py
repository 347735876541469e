"""Credentials: docker's config.json and its helpers, then containers' auth.json.

Sources: docker's documentation of `docker login` and credential helpers; containers-auth.json(5).
"""

from __future__ import annotations

import json
import threading
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airgap.content.atomic import make_folder, write_file
from airgap.content.storage import storage_error, storage_errors
from airgap.errors import InvalidContentError, SettingsError
from airgap.oci.document import parse_object
from airgap.registry.credential_helper import CredentialHelper

HUB_KEY = "https://index.docker.io/v1/"
"""Under which key docker keeps the credentials of Docker Hub."""
_HUB_NAMES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_TOKEN_USER = "<token>"  # noqa: S105 - docker's mark for an identity token in place of a name


@dataclass(frozen=True, slots=True)
class Credential:
    """What one logs in with: a name and a password, or an identity token."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)


class CredentialStore:
    """Finds and keeps credentials. Files are read once, and only when one is asked for.

    Args:
        docker_config: The folder that holds docker's `config.json`.
        containers_auth: The `auth.json` files of containers' tools, in order.
        helper_path: Where credential helpers are looked for, in the form of PATH; None is PATH.
    """

    def __init__(
        self,
        docker_config: Path,
        containers_auth: Sequence[Path] = (),
        *,
        helper_path: str | None = None,
    ) -> None:
        self._path = docker_config / "config.json"
        self._containers = tuple(containers_auth)
        self._helper_path = helper_path
        self._lock = threading.Lock()
        self._files: dict[Path, dict[str, Any]] = {}
        self._answers: dict[tuple[str, str], Credential | None] = {}

    def find(self, registry: str, repository: str = "") -> Credential | None:
        """The credential for a repository of a registry; None where there is none.

        Raises:
            SettingsError: A file or a helper makes no sense.
        """
        with self._lock:
            found = self._in_docker(registry)
            for path in self._containers:
                if found is not None:
                    break
                found = self._in_containers(self._read(path), registry, repository)
            return found

    def store(self, registry: str, credential: Credential) -> None:
        """Keep a credential the way docker does: in its helper or store, else in its file.

        Raises:
            SettingsError: The file makes no sense, or the helper refuses.
            StorageError: The file could not be written.
        """
        key = _docker_key(registry)
        with self._lock:
            config = self._read(self._path)
            if (helper := self._helper_of(config, registry)) is not None:
                self._answers.clear()
                secret = credential.identity_token or credential.password
                user = _TOKEN_USER if credential.identity_token else credential.username
                helper.store(key, user, secret)
                return
            auths = dict(_mapping(config.get("auths")))
            pair = f"{credential.username}:{credential.password}".encode()
            entry = {"auth": b64encode(pair).decode("ascii")}
            if credential.identity_token:
                entry["identitytoken"] = credential.identity_token
            auths[key] = entry
            self._write({**config, "auths": auths})

    def erase(self, registry: str) -> bool:
        """Forget the credential of a registry; False when there was none.

        Raises:
            SettingsError: The file makes no sense, or the helper refuses.
            StorageError: The file could not be written.
        """
        with self._lock:
            config = self._read(self._path)
            erased = False
            if (helper := self._helper_of(config, registry)) is not None:
                self._answers.clear()
                erased = [key for key in _docker_keys(registry) if helper.erase(key)] != []
            auths = dict(_mapping(config.get("auths")))
            kept = {key: value for key, value in auths.items() if not _names(key, registry)}
            if len(kept) != len(auths):
                self._write({**config, "auths": kept})
                erased = True
            return erased

    def _in_docker(self, registry: str) -> Credential | None:
        config = self._read(self._path)
        if (helper := self._helper_of(config, registry)) is not None:
            for key in _docker_keys(registry):
                if (found := self._ask(helper, key)) is not None:
                    return found
        auths = _mapping(config.get("auths"))
        exact = [key for key in _docker_keys(registry) if key in auths]
        for key in exact + [key for key in auths if _names(key, registry)]:
            if (found := _entry(auths[key], self._path)) is not None:
                return found
        return None

    def _in_containers(
        self, config: dict[str, Any], registry: str, repository: str
    ) -> Credential | None:
        auths = _mapping(config.get("auths"))
        for key in _containers_keys(registry, repository):
            if (found := _entry(auths.get(key), self._path)) is not None:
                return found
            helper = _mapping(config.get("credHelpers")).get(key)
            if isinstance(helper, str) and helper:
                return self._ask(CredentialHelper(helper, search=self._helper_path), key)
        for key in auths:
            if _names(key, registry) and (found := _entry(auths[key], self._path)) is not None:
                return found
        return None

    def _ask(self, helper: CredentialHelper, key: str) -> Credential | None:
        """Ask a helper once: it is a process, and some of them ask the user."""
        question = (helper.name, key)
        if question not in self._answers:
            pair = helper.get(key)
            if pair is None:
                self._answers[question] = None
            elif pair[0] == _TOKEN_USER:
                self._answers[question] = Credential(identity_token=pair[1])
            else:
                self._answers[question] = Credential(*pair)
        return self._answers[question]

    def _helper_of(self, config: dict[str, Any], registry: str) -> CredentialHelper | None:
        helpers = _mapping(config.get("credHelpers"))
        for key in _docker_keys(registry):
            if isinstance(name := helpers.get(key), str) and name:
                return CredentialHelper(name, search=self._helper_path)
        name = config.get("credsStore")
        if isinstance(name, str) and name:
            return CredentialHelper(name, search=self._helper_path)
        return None

    def _read(self, path: Path) -> dict[str, Any]:
        if path in self._files:
            return self._files[path]
        try:
            raw = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raw = b""
        except OSError as error:
            raise storage_error(error, path) from error
        try:
            value = parse_object(raw, what=str(path)) if raw.strip() else {}
        except InvalidContentError as error:
            raise SettingsError(error.message, hint="repair or remove the file") from error
        self._files[path] = value
        return value

    def _write(self, config: dict[str, Any]) -> None:
        # The file may be a link into somebody's dotfiles: what it leads to is replaced.
        with storage_errors(self._path):
            target = self._path.resolve()
        make_folder(target.parent)
        write_file(target, json.dumps(config, indent="\t").encode() + b"\n", mode=0o600)
        self._files[self._path] = config


def _docker_key(registry: str) -> str:
    return HUB_KEY if registry in _HUB_NAMES else registry


def _docker_keys(registry: str) -> tuple[str, ...]:
    if registry in _HUB_NAMES:
        return (HUB_KEY, "docker.io", "index.docker.io", "registry-1.docker.io")
    return (registry,)


def _names(key: str, registry: str) -> bool:
    """Whether a key of docker's file names a registry: some tools write a scheme or a path."""
    host = key.partition("://")[2] or key
    is_path = "://" not in key and "/" in key
    return not is_path and host.partition("/")[0] in (registry, *_docker_keys(registry))


def _containers_keys(registry: str, repository: str) -> Iterator[str]:
    """Keys from the longest to the host alone (containers-auth.json(5))."""
    parts = repository.split("/") if repository else []
    for count in range(len(parts), -1, -1):
        yield "/".join([registry, *parts[:count]])


def _entry(entry: object, path: Path) -> Credential | None:
    value = _mapping(entry)
    token = value.get("identitytoken")
    if isinstance(token, str) and token:
        return Credential(identity_token=token)
    username, password = value.get("username"), value.get("password")
    auth = value.get("auth")
    if isinstance(auth, str) and auth:
        try:
            text = b64decode(auth, validate=True).decode()
        except (Base64Error, ValueError) as error:
            raise SettingsError(
                f"{path} holds an auth that is not base64", hint="log in again"
            ) from error
        username, _, password = text.partition(":")
        # Some versions of docker wrote a zero byte behind the password.
        password = password.rstrip("\0")
    if not isinstance(username, str) or not isinstance(password, str) or not password:
        return None
    return Credential(identity_token=password) if username == _TOKEN_USER else Credential(
        username, password)  # fmt: skip


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
