"""`airgap sign bundle`."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import click

from airgap.bundle.catalog import Catalog
from airgap.bundle.reader import open_bundle
from airgap.cli.encryption_options import decrypt_options, encrypted_bundle
from airgap.cli.invocation import Invocation
from airgap.cli.options import FILE, OutputFlags, expect_option, output_options
from airgap.cli.session import Session
from airgap.cli.signing_options import read_key, signing_keys_options
from airgap.cli.values import as_digest, as_seekable
from airgap.content.atomic import write_file
from airgap.content.storage import storage_errors
from airgap.errors import ConflictError, SettingsError
from airgap.oci.digest import Digest
from airgap.run import Run
from airgap.trust.keys import PrivateKey

COMMAND = "sign bundle"


@dataclass(frozen=True, slots=True)
class WrittenSignature:
    """A signature and the file in which it lies."""

    path: str
    key: Digest


@dataclass(frozen=True, slots=True)
class SignResult:
    """What was signed, for JSON (docs/json-output.md)."""

    path: str
    bundle_id: Digest
    signatures: tuple[WrittenSignature, ...]


class SignBundleFlags(OutputFlags):
    """The options of the command."""

    bundle: tuple[Path, ...]
    keys: tuple[Path, ...]
    output: Path | None
    expect: str | None
    sign_passphrase_file: Path | None
    identity: tuple[Path, ...]
    passphrase_file: Path | None


@click.command("bundle")
@click.argument("bundle", type=FILE, nargs=-1, required=True)
@signing_keys_options
@click.option(
    "-o",
    "--output",
    type=FILE,
    metavar="FILE",
    help="Where the signature goes (default: beside the bundle, named after it and the key).",
)
@expect_option
@decrypt_options
@output_options
@click.pass_obj
def sign_bundle(invocation: Invocation, **flags: Unpack[SignBundleFlags]) -> None:
    """Write a signature of BUNDLE into a file beside it; the bundle itself is not changed.

    What is signed is the catalog, which names every byte of every blob by its digest. Whether the
    bundle holds these bytes is for `airgap verify bundle` to say: run it first.
    """
    session = Session(invocation, flags, command=COMMAND)
    paths = tuple(as_seekable(path) for path in flags["bundle"])
    if flags["output"] is not None and len(flags["keys"]) > 1:
        raise SettingsError(
            "one file takes one signature, and several keys are given",
            hint="leave out -o, or sign with one key at a time",
        )
    word = flags["sign_passphrase_file"]
    keys = {
        key.id: key for key in (read_key(p, session, passphrase_file=word) for p in flags["keys"])
    }
    with session.run() as run:
        name, catalog = _catalog(paths, flags, run)
        expect = flags["expect"]
        catalog.expect(as_digest(expect, "--expect") if expect else None)
        written = tuple(
            _write(catalog, key, flags["output"] or _beside(name, key)) for key in keys.values()
        )
        result = SignResult(str(name), catalog.id, written)
        session.show_result(result, lambda: _lines(result))


def _catalog(paths: Sequence[Path], flags: SignBundleFlags, run: Run) -> tuple[Path, Catalog]:
    """What the bundle carries, and the file beside which its signature goes."""
    identity, word = flags["identity"], flags["passphrase_file"]
    with encrypted_bundle(tuple(paths), identity, word, run) as encrypted:
        if encrypted is not None:
            return Path(encrypted.name), encrypted.front().catalog
    with open_bundle(paths, must_be_whole=False) as reader:
        return Path(reader.volumes[min(reader.volumes)].name), reader.catalog


def _beside(bundle: Path, key: PrivateKey) -> Path:
    return bundle.with_name(f"{bundle.name}.{key.id.hex[:12]}.sig")


def _write(catalog: Catalog, key: PrivateKey, path: Path) -> WrittenSignature:
    """Write a signature; the same one may be there already.

    Raises:
        ConflictError: Another file is there.
    """
    data = base64.b64encode(key.sign(catalog.raw)) + b"\n"
    with storage_errors(path):
        is_there = path.exists()
        is_same = is_there and path.stat().st_size == len(data) and path.read_bytes() == data
    if is_there and not is_same:
        raise ConflictError(
            f"{path} is there already, and it is another signature or something else",
            hint="put it away first, or name another file with -o",
            origin="local",
        )
    if not is_same:
        write_file(path, data)
    return WrittenSignature(str(path), key.id)


def _lines(result: SignResult) -> Iterator[str]:
    for signature in result.signatures:
        yield f"{signature.path}: signed by {signature.key}"
    yield f"bundle id: {result.bundle_id}"
