"""Docker's credential helpers: programs that keep secrets.

Source: docker-credential-helpers, "Development": one word as argument, JSON or a host on standard
input, JSON on standard output.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass

from airgap.errors import InvalidContentError, SettingsError
from airgap.oci.document import parse_object

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TIMEOUT = 60.0
_ABSENT = ("credentials not found", "no credentials server url", "not found in")


@dataclass(frozen=True, slots=True)
class CredentialHelper:
    """The program `docker-credential-NAME`.

    Attributes:
        name: What comes behind the prefix.
        search: Where it is looked for, in the form of PATH; None is the environment's.
    """

    name: str
    search: str | None = None

    def get(self, server: str) -> tuple[str, str] | None:
        """The user name and the secret for a server; None where there is none.

        Raises:
            SettingsError: The helper is not there or fails.
        """
        status, out = self._run("get", server)
        if status != 0:
            if any(text in out.lower() for text in _ABSENT):
                return None
            raise self._failed("get")
        try:
            value = parse_object(out.encode(), what="its answer")
        except InvalidContentError as error:
            raise self._failed("get") from error
        user, secret = value.get("Username"), value.get("Secret")
        if not isinstance(user, str) or not isinstance(secret, str):
            raise self._failed("get")
        return (user, secret) if secret else None

    def store(self, server: str, username: str, secret: str) -> None:
        """Keep a secret.

        Raises:
            SettingsError: The helper is not there or fails.
        """
        entry = {"ServerURL": server, "Username": username, "Secret": secret}
        if self._run("store", json.dumps(entry))[0] != 0:
            raise self._failed("store")

    def erase(self, server: str) -> bool:
        """Forget a secret; False when there was none.

        Raises:
            SettingsError: The helper is not there or fails.
        """
        if self.get(server) is None:
            return False
        if self._run("erase", server)[0] != 0:
            raise self._failed("erase")
        return True

    def _run(self, verb: str, text: str) -> tuple[int, str]:
        program = None
        if _NAME.fullmatch(self.name):
            program = shutil.which(f"docker-credential-{self.name}", path=self.search)
        if program is None:
            raise SettingsError(
                f"the credential helper {self.name[:50]!r} is not installed",
                hint="docker's config.json names it: install it or remove the entry",
            )
        import subprocess  # only where a helper is asked

        try:
            done = subprocess.run(  # noqa: S603 - the program that the user's own file names
                [program, verb],
                input=text.encode(),
                capture_output=True,
                timeout=_TIMEOUT,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise self._failed(verb) from error
        return done.returncode, done.stdout.decode("utf-8", "replace")

    def _failed(self, verb: str) -> SettingsError:
        # Its output is not shown: it may hold what it was given.
        return SettingsError(
            f"the credential helper {self.name!r} failed at {verb!r}",
            hint=f"try it by hand: docker-credential-{self.name} list",
        )
