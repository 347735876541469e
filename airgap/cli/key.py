"""`airgap key`: making keys that sign, looking at them, and taking them back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Unpack

import click

from airgap.cli.invocation import Invocation
from airgap.cli.options import FILE, OutputFlags, output_options
from airgap.cli.session import Session
from airgap.cli.signing_options import ask_passphrase, read_key
from airgap.cli.visible import count_text
from airgap.content.age import read_passphrase
from airgap.content.atomic import write_file
from airgap.content.storage import is_folder, is_there
from airgap.errors import SettingsError
from airgap.oci.digest import Digest
from airgap.trust.key_files import read_limited, read_public, write_key
from airgap.trust.keys import ALGORITHMS, KeyAlgorithm, PrivateKey, PublicKey
from airgap.trust.pem import MAX_PEM, is_private
from airgap.trust.revocations import RevocationList, RevokedKey
from airgap.trust.signed import MAX_SIZE
from airgap.trust.trust_file import is_name, key_snippet

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class GenerateResult:
    """A key that was made, for JSON (docs/json-output.md)."""

    key: Digest
    algorithm: KeyAlgorithm
    private: str
    public: str
    is_encrypted: bool
    trust: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShowKeyResult:
    """What a file of a key holds, for JSON (docs/json-output.md)."""

    path: str
    key: Digest
    algorithm: KeyAlgorithm
    kind: Literal["private", "public"]


@dataclass(frozen=True, slots=True)
class RevokeResult:
    """A list of revoked keys as it is now, for JSON (docs/json-output.md)."""

    path: str
    serial: int
    revoker: Digest
    revoked: tuple[RevokedKey, ...]


class GenerateFlags(OutputFlags):
    """The options of `key generate`."""

    output: Path
    algorithm: KeyAlgorithm
    passphrase: bool | None
    passphrase_file: Path | None
    name: str | None
    not_before: datetime | None
    not_after: datetime | None


class ShowFlags(OutputFlags):
    """The options of `key show`."""

    file: Path
    passphrase_file: Path | None


class RevokeFlags(OutputFlags):
    """The options of `key revoke`."""

    keys: tuple[str, ...]
    listed: Path
    sign: Path
    reason: str
    serial: int | None
    passphrase_file: Path | None


_passphrase_file = click.option(
    "--passphrase-file",
    type=FILE,
    metavar="FILE",
    help="The passphrase of the key is the one line of this file.",
)


class _Day(click.DateTime):
    """A day, of which the error shows an example and no format."""

    def __init__(self) -> None:
        super().__init__(["%Y-%m-%d"])

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Read it."""
        try:
            found: datetime = super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is no day; write it like 2027-01-31", param, ctx)
        return found


_DAY = _Day()


@click.command("generate")
@click.option(
    "-o",
    "--output",
    type=FILE,
    default=Path("release.key"),
    show_default=True,
    metavar="FILE",
    help="Where the private key goes; the public one gets the same name and .pub.",
)
@click.option(
    "--type",
    "algorithm",
    type=click.Choice(ALGORITHMS),
    default="ed25519",
    show_default=True,
    help="What kind of key.",
)
@click.option(
    "--passphrase/--no-passphrase",
    default=None,
    help="Ask for a passphrase that opens the key (default), or leave it open to who can read it.",
)
@_passphrase_file
@click.option("--name", metavar="NAME", help="What the key is called in trust.toml.")
@click.option(
    "--not-before", type=_DAY, metavar="YYYY-MM-DD", help="From when on it is to be trusted."
)
@click.option("--not-after", type=_DAY, metavar="YYYY-MM-DD", help="To the end of which day.")
@output_options
@click.pass_obj
def generate_key(invocation: Invocation, **flags: Unpack[GenerateFlags]) -> None:
    """Make a key that signs, and show how others come to trust it.

    Whoever verifies needs the public file only. The dates stand in their trust.toml: a key has none
    of its own. Nothing that is there is replaced.
    """
    session = Session(invocation, flags, command="key generate")
    path = flags["output"]
    if is_folder(path):
        raise SettingsError(
            f"{path} is a folder, and a key is a file", hint=f"name it: -o {path / 'release.key'}"
        )
    name = flags["name"] or path.stem
    if not is_name(name):
        raise SettingsError(
            f"{name[:80]!a} is no name of a key",
            hint="--name takes letters from A to z, digits, spaces and . _ @ + -",
        )
    start, end = flags["not_before"], flags["not_after"]
    if start and end and start > end:
        raise SettingsError("--not-after lies before --not-before", hint="mend one of the dates")
    if end and end.date() < datetime.now(UTC).date():
        raise SettingsError(
            f"--not-after {end.date()} is past: nobody would take what the key signs",
            hint="name a day to come",
        )
    word = _new_passphrase(session, flags)
    key = PrivateKey.generate(flags["algorithm"])
    public = write_key(path, key, word)
    snippet = key_snippet(
        name, public.name, start.date() if start else None, end.date() if end else None
    )
    result = GenerateResult(
        key.id, flags["algorithm"], str(path), str(public), word is not None, tuple(snippet)
    )
    invocation.show_result("key generate", result, lambda: _generate_lines(result))


@click.command("show")
@click.argument("file", type=FILE)
@_passphrase_file
@output_options
@click.pass_obj
def show_key(invocation: Invocation, **flags: Unpack[ShowFlags]) -> None:
    """Show the id of the key in FILE, private or public: signatures name it so."""
    session = Session(invocation, flags, command="key show")
    path = flags["file"]
    raw = read_limited(path, MAX_PEM)
    has_private = is_private(raw)
    if has_private:
        key = read_key(path, session, passphrase_file=flags["passphrase_file"]).public
    else:
        key = PublicKey.parse(raw, what=str(path))
    kind: Literal["private", "public"] = "private" if has_private else "public"
    result = ShowKeyResult(str(path), key.id, key.algorithm, kind)
    invocation.show_result(
        "key show", result, lambda: [f"{result.key}  {result.algorithm}, {kind}"]
    )


@click.command("revoke")
@click.argument("keys", nargs=-1, required=True, metavar="ID|FILE...")
@click.option(
    "--list",
    "listed",
    type=FILE,
    required=True,
    metavar="FILE",
    help="The list of revoked keys; what it says already stays in it.",
)
@click.option(
    "--sign", type=FILE, required=True, metavar="KEY", help="The private key of the revoker."
)
@click.option("--reason", default="", metavar="TEXT", help="Why, in a few words.")
@click.option(
    "--serial",
    type=click.IntRange(min=1, max=2**53 - 1),
    metavar="N",
    help="Number the list so, where an earlier one was lost (default: one more than before).",
)
@_passphrase_file
@output_options
@click.pass_obj
def revoke_key(invocation: Invocation, **flags: Unpack[RevokeFlags]) -> None:
    """Take keys back: by their ids or public files, in a list that travels with bundles.

    export images --revocations takes the list along. It counts for whoever trusts the key that
    signs it as a revoker, and from then on, also where later bundles come without it.
    """
    session = Session(invocation, flags, command="key revoke")
    revoked = [RevokedKey(_key_id(text), flags["reason"]) for text in flags["keys"]]
    revoker = read_key(flags["sign"], session, passphrase_file=flags["passphrase_file"])
    path = flags["listed"]
    known = _known(path, revoker)
    serial = flags["serial"] or (known.serial + 1 if known else 1)
    if known is not None and serial <= known.serial:
        raise SettingsError(
            f"--serial {serial} is not above {known.serial}, the last list's",
            hint="an older list is ignored: leave --serial out",
        )
    earlier: Sequence[RevokedKey] = known.revoked if known else ()
    made = RevocationList.build(serial, (*earlier, *revoked), revoker)
    write_file(path, made.to_bytes() + b"\n")
    result = RevokeResult(str(path), serial, revoker.id, made.revoked)
    invocation.show_result("key revoke", result, lambda: _revoke_lines(result))


def _new_passphrase(session: Session, flags: GenerateFlags) -> str | None:
    given = session.settings.environment.key_passphrase
    if flags["passphrase_file"] is not None:
        if flags["passphrase"] is not None:
            raise SettingsError(
                "--passphrase-file says where the passphrase is, and another option says otherwise",
                hint="leave one of the options out",
            )
        return read_passphrase(flags["passphrase_file"])
    if flags["passphrase"] is False:
        return None
    if given and flags["passphrase"] is None:
        return given
    return ask_passphrase("Passphrase of the new key", is_new=True)


def _key_id(text: str) -> Digest:
    """The id itself, or that of the public key in a file."""
    if _DIGEST.fullmatch(text):
        return Digest.parse(text)
    if text.startswith("sha256:") and not is_there(Path(text)):
        raise SettingsError(
            f"{text[:100]!r} is no whole id of a key",
            hint="an id is sha256: and 64 hex digits; `airgap key show FILE` prints it",
        )
    return read_public(Path(text)).id


def _known(path: Path, revoker: PrivateKey) -> RevocationList | None:
    """The list as it was until now."""
    if not path.exists():
        return None
    raw = read_limited(path, MAX_SIZE).strip()
    known = RevocationList.parse(raw, what=f"the list of revoked keys {path}")
    if not known.is_signed_by(revoker.public):
        raise SettingsError(
            f"{path} is not signed by this revoker",
            hint="each revoker has a list of its own: name another file, or the right key",
        )
    return known


def _generate_lines(result: GenerateResult) -> Iterator[str]:
    state = "encrypted with a passphrase" if result.is_encrypted else "open to whoever can read it"
    yield f"private key: {result.private} ({state}; keep it, and give it to nobody)"
    yield f"public key: {result.public} (for whoever verifies)"
    yield f"key id: {result.key}"
    yield ""
    yield "whoever verifies writes into trust.toml:"
    yield from (f"  {line}" for line in result.trust)


def _revoke_lines(result: RevokeResult) -> Iterator[str]:
    yield f"{result.path}: list {result.serial}, {count_text(len(result.revoked), 'revoked key')}"
    for one in result.revoked:
        yield f"  {one.key}{f'  {one.reason}' if one.reason else ''}"
    yield f"signed by {result.revoker}"
