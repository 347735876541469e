"""Keys, trust files and signed bundles for tests of trust."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from airgap.trust.keys import PrivateKey
from airgap.trust.revocations import RevocationList, RevokedKey
from airgap.trust.signatures import Signatures
from tests.support.bundles import MadeBundle, make_bundle, signed
from tests.support.command_line import Outcome, airgap, assert_refused
from tests.support.embedded import EmbeddedRegistry
from tests.support.transfers import sent

WAYS = ["file", "pipe"]
"""How a bundle is imported."""

A, B = PrivateKey.generate("ed25519"), PrivateKey.generate("ecdsa-p256")
STRANGER = PrivateKey.generate("ed25519")
MADE = make_bundle()


def signed_by(
    made: MadeBundle, *keys: PrivateKey, revocations: bytes = b"", of: MadeBundle | None = None
) -> MadeBundle:
    """A bundle with signatures by keys; of another bundle's catalog, where one is given."""
    data = (of or made).catalog.raw
    return signed(made, Signatures.sign(data, keys, revocations=revocations).to_bytes())


SIGNED = signed_by(MADE, A)
"""A bundle signed by the key that is trusted; B signs only what says so, a stranger is nobody's."""


def write_public(folder: Path, **keys: PrivateKey) -> list[Path]:
    """Files of public keys, by their names."""
    paths = []
    for name, key in keys.items():
        path = folder / f"{name}.pub"
        path.write_bytes(key.public.to_pem())
        paths.append(path)
    return paths


def trust_file(folder: Path, *entries: tuple[str, PrivateKey, str], head: str = "") -> Path:
    """A trust file: each key with its name and further lines of its table."""
    tables = [
        f'[[key]]\nname = "{name}"\npem = """{key.public.to_pem().decode()}"""\n{lines}\n'
        for name, key, lines in entries
    ]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "trust.toml"
    path.write_text(f"{head}\n" + "\n".join(tables))
    return path


def revoking(keys: Iterable[PrivateKey], by: PrivateKey, serial: int = 1) -> bytes:
    """A signed list of revoked keys."""
    return RevocationList.build(serial, [RevokedKey(k.id, "lost") for k in keys], by).to_bytes()


def bring(
    registry: EmbeddedRegistry, folder: Path, data: bytes, way: str, *arguments: object
) -> Outcome:
    """Import a bundle's bytes by the command, from a file on a stick or from a pipe."""
    options = ("--to", registry.host, *arguments)
    if way == "pipe":
        return airgap("import", "bundle", "-", *options, stdin=data)
    stick = folder / "stick"
    stick.mkdir(exist_ok=True)
    (stick / "bundle.tar").write_bytes(data)
    return airgap("import", "bundle", stick / "bundle.tar", *options)


def refused(
    done: Outcome,
    registry: EmbeddedRegistry,
    *said: str,
    code: int = 21,
    kind: str = "signature",
) -> None:
    """The error, and that nothing was asked for that could change something."""
    assert_refused(done, code, kind, *said)
    assert sent(registry) == []
