"""`airgap serve` with TLS and users, as an operator starts it."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.compat import software
from tests.compat.registries import ACCEPT
from tests.compat.software import Program
from tests.support.builders import Content

ADMIN = "alice"
MEMBER = "bob"
GROUP = "payments"
PASSWORD = "correct horse battery"
_WRONG = "wrong horse"


@dataclass(frozen=True)
class Served:
    """A registry on 127.0.0.1: alice may do everything, bob what is below `payments/`.

    Attributes:
        host: Address and port.
        authority: The certificate that clients have to trust.
        certificates: A folder with nothing but that.
        secrets: A folder with the passwords in files.
    """

    host: str
    authority: Path
    certificates: Path
    secrets: Path

    @contextmanager
    def password(self, *, right: bool = True) -> Iterator[IO[bytes]]:
        """The password of everybody, or a wrong one, for a standard input."""
        with (self.secrets / ("right" if right else "wrong")).open("rb") as stdin:
            yield stdin

    def get(self, path: str) -> bytes:
        """Get a manifest or blob past all clients, as alice."""
        login = base64.b64encode(f"{ADMIN}:{PASSWORD}".encode()).decode()
        headers = {"Accept": ACCEPT, "Authorization": f"Basic {login}"}
        request = urllib.request.Request(f"https://{self.host}/v2/{path}", headers=headers)
        context = ssl.create_default_context(cafile=str(self.authority))
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        with opener.open(request, timeout=10) as response:
            found: bytes = response.read()
            return found

    def has(self, path: str) -> bool:
        """Whether there is such a manifest or blob."""
        try:
            self.get(path)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 404:
                return False
            raise
        return True

    def check(self, repository: str, content: Content, tag: str | None = None) -> None:
        """See that everything of a content is there with its exact bytes."""
        for part in content.walk():
            assert self.get(f"{repository}/manifests/{part.digest}") == part.raw
            for blob in part.blobs:
                assert self.get(f"{repository}/blobs/{blob.descriptor.digest}") == blob.data
        if tag is not None:
            assert self.get(f"{repository}/manifests/{tag}") == content.raw

    def hosts(self, folder: Path) -> Path:
        """A folder that tells containerd whom to trust, as `airgap serve` says it."""
        own = folder / self.host
        own.mkdir(parents=True)
        (own / "hosts.toml").write_text(
            f'server = "https://{self.host}"\n'
            f'[host."https://{self.host}"]\nca = "{self.authority}"\n'
        )
        return folder


@contextmanager
def serve(folder: Path) -> Iterator[Served]:
    """Add users to a new data folder and serve it with an authority of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    data, secrets, certificates = folder / "data", folder / "secrets", folder / "certificates"
    secrets.mkdir()
    certificates.mkdir()
    (secrets / "right").write_text(PASSWORD)
    (secrets / "wrong").write_text(_WRONG)
    airgap = software.airgap(folder)
    for name, options in ((ADMIN, ("--admin",)), (MEMBER, ("--group", GROUP))):
        with (secrets / "right").open("rb") as stdin:
            arguments = ("user", "add", name, *options, "--password-stdin", "--data", data)
            airgap.run(*arguments, stdin=stdin)
    log = folder / "log"
    command = (
        *airgap.command,
        *("serve", "--data", data, "--tls-self-signed", "--listen", "127.0.0.1:0", "--json"),
    )
    with software.daemon(command, is_ready=lambda: _host(log) != "", home=software.ROOT, log=log):
        authority = certificates / "ca.crt"
        authority.write_bytes((data / "tls" / "ca.crt").read_bytes())
        yield Served(_host(log), authority, certificates, secrets)


def _host(log: Path) -> str:
    """Where it says that it listens; nothing as long as it does not."""
    for line in log.read_text(errors="replace").splitlines(keepends=True):
        if line.startswith("{") and line.endswith("\n"):
            event = json.loads(line)
            if event.get("type") == "result":
                return str(event["host"])
    return ""


@dataclass(frozen=True)
class SignedIn:
    """A tool that signs in and out by commands of its own.

    Attributes:
        tool: The tool.
        served: Where.
        login: Its command up to the user's name and without the password, which comes by standard
            input.
        logout: Its command.
    """

    tool: Program
    served: Served
    login: tuple[object, ...]
    logout: tuple[object, ...]

    def sign_in(self) -> None:
        """Sign in, after a wrong password was refused."""
        with self.served.password(right=False) as stdin:
            assert self.tool.attempt(*self.login, stdin=stdin).code != 0
        with self.served.password() as stdin:
            self.tool.run(*self.login, stdin=stdin)

    def sign_out(self) -> None:
        """Sign out."""
        self.tool.run(*self.logout)

    def is_refused(self, *arguments: object) -> bool:
        """Whether a command fails because of what the user may do."""
        return is_refused(self.tool, *arguments)


def is_refused(tool: Program, *arguments: object) -> bool:
    """Whether a command fails because of what the user may do."""
    done = tool.attempt(*arguments)
    said = f"{done.out}\n{done.err}".lower()
    words = ("unauthorized", "denied", "authentication required", "no basic auth", "401", "403")
    return done.code != 0 and any(word in said for word in words)
