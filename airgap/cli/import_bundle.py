"""`airgap import bundle`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Literal, Unpack

import click

from airgap.cli.custody import CustodyEntry, custody, file_names
from airgap.cli.encryption_options import decrypt_options, encrypted_bundle
from airgap.cli.image_policy_options import image_policy_options, required_keys
from airgap.cli.invocation import Invocation
from airgap.cli.keyless_options import identities_of
from airgap.cli.media_prompt import between_media, check_next_command, media_options
from airgap.cli.options import (
    BUNDLE,
    NetworkFlags,
    expect_option,
    jobs_option,
    network_options,
    output_options,
)
from airgap.cli.receipt_options import ReceiptFlags, kept_receipt, receipt_options
from airgap.cli.render import import_lines, partial_error
from airgap.cli.rollback_options import RollbackFlags, rollback_guard, rollback_options
from airgap.cli.session import Session
from airgap.cli.signing_options import (
    SignatureFlags,
    signature_option,
    signatures_of,
    trust_of,
    trust_options,
)
from airgap.cli.values import as_digest
from airgap.errors import SettingsError
from airgap.oci.reference import is_repository
from airgap.run import Run
from airgap.transfer.destination import Destination
from airgap.transfer.gather import Gathering, gather_bundle
from airgap.transfer.publish import ImportOptions
from airgap.transfer.publish import import_bundle as run_import

COMMAND = "import bundle"


class ImportFlags(ReceiptFlags, NetworkFlags, RollbackFlags, SignatureFlags):
    """The options of the command."""

    bundle: tuple[Path, ...]
    to: str
    keep_host: bool
    only: tuple[str, ...]
    on_existing_tag: Literal["overwrite", "skip", "error"]
    sparse: Literal["index", "image", "fail"]
    tag_digests: str | None
    expect: str | None
    jobs: str | None
    dry_run: bool
    keep_going: bool
    mount_from: tuple[str, ...]
    require_signature: tuple[Path, ...]
    identity: tuple[Path, ...]
    passphrase_file: Path | None
    state: Path | None
    next_command: str | None


@click.command("bundle")
@click.argument("bundle", type=BUNDLE, nargs=-1, required=True)
@click.option(
    "--to", required=True, metavar="HOST[:PORT][/PREFIX]", help="The registry, and a path in it."
)
@click.option("--keep-host", is_flag=True, help="Keep the source's host as the first path part.")
@click.option(
    "--only",
    multiple=True,
    metavar="PATTERN",
    help="Push images whose source name matches: * in a part, ** over parts (repeatable).",
)
@click.option(
    "--on-existing-tag",
    type=click.Choice(["overwrite", "skip", "error"]),
    default="error",
    show_default=True,
    help="What to do where a tag names something else.",
)
@click.option(
    "--sparse",
    type=click.Choice(["index", "image", "fail"]),
    default="index",
    show_default=True,
    help="How an index whose platforms do not all travel is pushed.",
)
@click.option("--tag-digests", metavar="PREFIX", help="Tag images that have only a digest.")
@rollback_options
@expect_option
@jobs_option
@click.option("--dry-run", is_flag=True, help="Print what would be pushed and push nothing.")
@click.option("--keep-going", is_flag=True, help="Push what can be pushed, and exit with 3.")
@click.option(
    "--mount-from",
    multiple=True,
    metavar="REPOSITORY",
    help="Look in this repository of the registry for what the bundle leaves to it (repeatable).",
)
@receipt_options
@trust_options
@signature_option
@image_policy_options
@decrypt_options
@media_options
@network_options
@output_options
@click.pass_obj
def import_bundle(invocation: Invocation, **flags: Unpack[ImportFlags]) -> None:
    """Push what BUNDLE carries to a registry; - reads it from standard input.

    BUNDLE is a file, all volumes in any order, or the folder or folders that hold them.

    docker.io/library/nginx:1.27 becomes HOST/PREFIX/library/nginx:1.27. What is there already is
    not sent again: run the same command again after an interruption.

    Encrypted files are read with --identity, all volumes of a bundle at once.

    What the bundle leaves to the registry must be there, in the images' repositories or where
    the bundle and --mount-from say; that is asked before anything is sent.

    Where volumes are missing, what is here is taken, and the next medium is asked for; in any
    order, and also by another run of the same command.
    """
    session = Session(invocation, flags, command=COMMAND)
    to = Destination.parse(flags["to"])
    options = _options(flags, session.settings.jobs)
    bundle = _bundle(flags["bundle"])
    check_next_command(flags["next_command"])
    keys, word = flags["identity"], flags["passphrase_file"]
    with (
        session.run() as run,
        _custody(session, flags, run) as entry,
        kept_receipt(session, flags, entry, run, is_dry=flags["dry_run"]) as receipt,
        session.client(run) as client,
        encrypted_bundle(bundle, keys, word, run) as encrypted,
    ):
        entry.tell(paths=file_names(flags["bundle"]), destination=str(to))
        options = _with_trust(options, session, flags, run)
        options = replace(options, rollback=rollback_guard(session, run), ledger=receipt.ledger)
        if encrypted is not None:
            result = run_import(encrypted, to, client=client, options=options, run=run)
        elif isinstance(bundle, tuple):
            gathering = _gathering(session, flags, run)
            result = gather_bundle(
                bundle, to, client=client, options=options, gathering=gathering, run=run
            )
        else:
            result = run_import(bundle, to, client=client, options=options, run=run)
        entry.imported(result)
        result = receipt.imported(result)
        session.show_result(result, lambda: import_lines(result, to=to, is_dry=flags["dry_run"]))
        if result.failed:
            raise partial_error(result.failed, "imported")


def _custody(
    session: Session, flags: ImportFlags, run: Run
) -> AbstractContextManager[CustodyEntry]:
    """The entry in the log, which is required where a receipt is to name it."""
    is_required = flags["receipt"] is not None
    return custody(session, run, "import", is_dry=flags["dry_run"], is_required=is_required)


def _options(flags: ImportFlags, jobs: int) -> ImportOptions:
    expect = flags["expect"]
    return ImportOptions(
        keep_host=flags["keep_host"],
        only=flags["only"],
        on_existing_tag=flags["on_existing_tag"],
        sparse=flags["sparse"],
        tag_digests=flags["tag_digests"],
        expect=as_digest(expect, "--expect") if expect else None,
        jobs=jobs,
        keep_going=flags["keep_going"],
        dry_run=flags["dry_run"],
        require_signature=required_keys(flags["require_signature"]),
        mount_from=tuple(_repository(name) for name in flags["mount_from"]),
        naming=tuple(_naming(flags)),
    )


def _naming(flags: ImportFlags) -> Iterator[str]:
    """What says to `export inventory` which bundle this is."""
    for path in flags["bundle"]:
        # What comes through a pipe is read a second time for that, and so from a file.
        yield from ("--missing-for", "BUNDLE" if str(path) == "-" else str(path))
    for path in flags["identity"]:
        yield from ("--identity", str(path))
    if flags["passphrase_file"] is not None:
        yield from ("--passphrase-file", str(flags["passphrase_file"]))
    for pattern in flags["only"]:
        yield from ("--only", pattern)


def _repository(name: str) -> str:
    if not is_repository(name):
        raise SettingsError(
            f"--mount-from {name!r} is not a repository",
            hint="write its path in the registry, without the registry: team/base",
        )
    return name


def _with_trust(
    options: ImportOptions, session: Session, flags: ImportFlags, run: Run
) -> ImportOptions:
    trust = trust_of(session, identities_of(flags))
    beside = [path for path in flags["bundle"] if str(path) != "-"]
    detached = signatures_of(flags["signature"], trust, beside, run=run)
    return replace(options, trust=trust, signatures=detached)


def _gathering(session: Session, flags: ImportFlags, run: Run) -> Gathering:
    state, command = flags["state"], flags["next_command"]
    return Gathering(*between_media(session, run, state, command, action="read"))


def _bundle(paths: tuple[Path, ...]) -> tuple[Path, ...] | BinaryIO:
    if not any(str(path) == "-" for path in paths):
        return paths
    if len(paths) > 1:
        raise SettingsError(
            "standard input is one bundle, and nothing can be named beside it",
            hint="name files, or only -; an option like --signature takes one file each time",
        )
    return _standard_input()


def _standard_input() -> BinaryIO:
    if sys.stdin.isatty():
        raise SettingsError(
            "a bundle is not read from a terminal", hint="name a file, or pipe it: cat … | airgap …"
        )
    return sys.stdin.buffer
