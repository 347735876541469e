"""`airgap repair bundle`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import click

from airgap.bundle.catalog import Catalog
from airgap.bundle.check_encrypted import is_encrypted
from airgap.bundle.finding import Finding
from airgap.bundle.rebuild import Copy
from airgap.cli.custody import CustodyEntry, custody, file_names
from airgap.cli.invocation import Invocation
from airgap.cli.options import (
    FILE,
    CustodyFlags,
    NetworkFlags,
    custody_option,
    jobs_option,
    network_options,
    output_options,
)
from airgap.cli.session import Session
from airgap.cli.values import as_seekable, as_size
from airgap.cli.visible import count_text
from airgap.content.storage import is_there
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document
from airgap.registry.client import Client
from airgap.transfer.bundle_source import open_holding
from airgap.transfer.copies import RegistryCopy
from airgap.transfer.destination import Destination
from airgap.transfer.repair import RepairedFile, RepairOptions, RepairResult, describe_failure
from airgap.transfer.repair import repair_bundle as run_repair
from airgap.transfer.repair_encrypted import repair_encrypted

COMMAND = "repair bundle"


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What a repair did, for JSON (docs/json-output.md)."""

    path: str
    bundle_id: Digest | None
    damage: tuple[Finding, ...]
    repaired: tuple[RepairedFile, ...]
    findings: tuple[Finding, ...]
    seconds: float


class RepairFlags(NetworkFlags, CustodyFlags):
    """The options of the command."""

    bundle: tuple[Path, ...]
    copies: tuple[str, ...]
    output: Path | None
    parity_memory: str | None
    keep_host: bool
    jobs: str | None


@click.command("bundle")
@click.argument("bundle", type=FILE, nargs=-1, required=True)
@click.option(
    "--from",
    "copies",
    multiple=True,
    metavar="BUNDLE|FOLDER|HOST[:PORT][/PREFIX]",
    help="Take good blobs from this copy, bundle, folder or registry (repeatable).",
)
@click.option(
    "-o",
    "--output",
    type=FILE,
    metavar="DIR",
    help="Put what is rebuilt there, and leave the damaged files as they are.",
)
@click.option(
    "--parity-memory", metavar="SIZE", help="About how much memory rebuilding may use: 500M, 2G."
)
@click.option(
    "--keep-host", is_flag=True, help="Images lie at --from as imported with --keep-host."
)
@jobs_option
@custody_option
@network_options
@output_options
@click.pass_obj
def repair_bundle(invocation: Invocation, **flags: Unpack[RepairFlags]) -> None:
    """Rebuild what is damaged or lost of BUNDLE: files, or folders with its volumes.

    From the parity beside it first, then from --from. A file is replaced only by one that was
    checked as a whole; what cannot be repaired stays as it is. Encrypted files need no key.
    """
    session = Session(invocation, flags, command=COMMAND)
    paths = [as_seekable(path) for path in flags["bundle"]]
    memory = flags["parity_memory"]
    options = RepairOptions(
        output=flags["output"],
        memory=as_size(memory, "--parity-memory") if memory else None,
        jobs=session.settings.jobs,
    )
    if is_encrypted(paths):
        with session.run() as run, custody(session, run, "repair") as entry:
            entry.tell(paths=file_names(paths))
            copies_of_it = [Path(text) for text in flags["copies"]]
            done = repair_encrypted(paths, copies=copies_of_it, options=options, run=run)
            _show(session, done, entry)
        return
    with (
        session.run() as run,
        custody(session, run, "repair") as entry,
        session.client(run) as client,
        ExitStack() as opened,
    ):
        entry.tell(paths=file_names(paths))

        def copies(catalog: Catalog, documents: Mapping[Digest, Document]) -> Sequence[Copy]:
            return [
                _copy(text, client, catalog, documents, opened, keep_host=flags["keep_host"])
                for text in flags["copies"]
            ]

        result = run_repair(
            paths, copies=copies if flags["copies"] else None, options=options, run=run
        )
        _show(session, result, entry)


def _show(session: Session, result: RepairResult, entry: CustodyEntry) -> None:
    failure = describe_failure(result.after)
    entry.repaired(result, failure)
    session.show_result(_report(result), lambda: _lines(result))
    if failure is not None:
        raise failure


def _report(result: RepairResult) -> RepairReport:
    before, after = result.before, result.after
    return RepairReport(
        after.name,
        after.bundle_id,
        before.findings,
        result.repaired,
        after.findings,
        result.seconds,
    )


def _copy(
    text: str,
    client: Client,
    catalog: Catalog,
    documents: Mapping[Digest, Document],
    opened: ExitStack,
    *,
    keep_host: bool,
) -> Copy:
    path = Path(text)
    if is_there(path) or text.startswith((".", "/")):
        holding = open_holding([path], must_be_whole=False)
        opened.callback(holding.close)
        return holding
    destination = Destination.parse(text)
    return RegistryCopy(client, destination, catalog, documents, keep_host=keep_host)


def _lines(result: RepairResult) -> Iterator[str]:
    for file in result.repaired:
        if file.method == "parity":
            yield f"{file.path}: rebuilt from parity"
        else:
            places = ", ".join(file.places) or "what was good in it"
            yield f"{file.path}: rebuilt; {count_text(file.taken, 'blob')} from {places}"
    if not result.before.findings:
        yield f"{result.before.name}: whole, nothing to repair"
    elif not result.after.findings:
        yield f"{result.after.name}: whole again"
    elif any(finding.kind != "missing-volume" for finding in result.after.findings):
        yield f"{result.after.name}: {count_text(len(result.after.findings), 'problem')} left"
