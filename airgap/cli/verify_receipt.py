"""`airgap verify receipt`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

import click

from airgap.bundle.catalog import Catalog
from airgap.cli.encryption_options import decrypt_options, encrypted_bundle
from airgap.cli.invocation import Invocation
from airgap.cli.keyless_options import identities_of
from airgap.cli.options import (
    FILE,
    NetworkFlags,
    jobs_option,
    network_options,
    output_options,
)
from airgap.cli.session import Session
from airgap.cli.signing_options import TrustFlags, trust_of, trust_options
from airgap.cli.values import as_seekable
from airgap.cli.visible import count_text, cut
from airgap.errors import (
    AirgapError,
    ExitCode,
    IncompleteBundleError,
    IntegrityError,
    PartialError,
    SettingsError,
)
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document
from airgap.oci.reference import is_registry
from airgap.record.origin import time_text
from airgap.record.receipt import Receipt, ReceiptFailure
from airgap.run import Run
from airgap.transfer.receipt_check import ReceiptFinding, compare_with_bundle, exit_code
from airgap.transfer.receipt_registry import compare_with_registry
from airgap.transfer.receipts import OpenedReceipt, read_receipt
from airgap.transfer.record_trust import record_signers
from airgap.transfer.records import Contents, open_record
from airgap.trust.signer import Signer

COMMAND = "verify receipt"
_OUTCOMES = {
    "pushed": "arrived",
    "present": "there already",
    "skipped": "left at another digest",
    "image-only": "arrived as a single image",
    "failed": "failed",
    "waiting": "waiting for more",
    "left": "not asked for",
}
_OPEN = ("failed", "waiting")


@dataclass(frozen=True, slots=True)
class VerifiedReceipt:
    """What a receipt says and what is wrong with it, for JSON (docs/json-output.md)."""

    path: str
    receipt_id: Digest
    bundle_id: Digest
    registry: str
    prefix: str
    started: str
    finished: str
    by: str
    version: str
    outcome: str
    error: ReceiptFailure | None
    images: dict[str, int]
    manifests: int
    blobs: int
    failed: tuple[ReceiptFailure, ...]
    log_length: int | None
    log_head: Digest | None
    signers: tuple[Signer, ...] = ()
    compared: tuple[str, ...] = ()
    findings: tuple[ReceiptFinding, ...] = ()
    notes: tuple[str, ...] = ()


class VerifyReceiptFlags(NetworkFlags, TrustFlags):
    """The options of the command."""

    receipt: Path
    bundle: tuple[Path, ...]
    registry: str | None
    as_: str | None
    identity: tuple[Path, ...]
    passphrase_file: Path | None
    jobs: str | None


@click.command("receipt")
@click.argument("receipt", type=FILE)
@click.option(
    "--bundle",
    type=FILE,
    multiple=True,
    metavar="BUNDLE",
    help="Compare with this bundle; of several volumes, any is enough (repeatable).",
)
@click.option(
    "--registry", metavar="HOST[:PORT]", help="Ask this registry for all that the receipt names."
)
@click.option(
    "--as",
    "as_",
    metavar="HOST[:PORT]",
    help="What the receipt calls that registry, where it is reached under another name.",
)
@trust_options
@decrypt_options
@jobs_option
@network_options
@output_options
@click.pass_obj
def verify_receipt(invocation: Invocation, **flags: Unpack[VerifyReceiptFlags]) -> None:
    """Check RECEIPT, which `airgap import bundle --receipt` wrote.

    With --trust it must be signed, else this exits with 21. With --bundle it must be of that bundle
    and account for all of it; with --registry, everything that it names must be there today, and it
    must be a receipt of that registry. Exit 20: something is not what it should be; 23: something
    is missing; 3: all of that is right, and the receipt says that not everything arrived.
    """
    session = Session(invocation, flags, command=COMMAND)
    registry, called = flags["registry"], flags["as_"]
    _check_names(registry, called)
    with session.run() as run:
        opened = read_receipt(as_seekable(flags["receipt"]))
        receipt, trust = opened.receipt, trust_of(session, identities_of(flags))
        signers = record_signers(opened.record, trust, run=run)
        notes = () if trust is not None else (_unchecked(opened),)
        findings: list[ReceiptFinding] = []
        for path in flags["bundle"]:
            findings += compare_with_bundle(receipt, *_front(path, flags, run))
        if registry is not None:
            findings += _ask(session, receipt, registry, called or "", run)
        compared = (*(str(path) for path in flags["bundle"]), *([registry] if registry else []))
        result = replace(
            _result(flags["receipt"], receipt),
            signers=signers,
            compared=compared,
            findings=tuple(dict.fromkeys(findings)),
            notes=notes,
        )
        session.show_result(result, lambda: _lines(result))
        if (error := _error(result, receipt)) is not None:
            raise error


def _check_names(registry: str | None, called: str | None) -> None:
    for option, name in (("--registry", registry), ("--as", called)):
        if name is not None and not is_registry(name):
            raise SettingsError(
                f"{option} {name!r} is not a registry", hint="write HOST[:PORT], without a path"
            )
    if called is not None and registry is None:
        raise SettingsError(
            "--as says what the registry of --registry is called in the receipt",
            hint="name the registry, too: --registry HOST[:PORT]",
        )


def _unchecked(opened: OpenedReceipt) -> str:
    if opened.record.signatures:
        return "the receipt is signed, and nobody is trusted: --trust KEY checks signatures"
    return "the receipt is not signed, and nobody is trusted to have signed it"


def _front(
    path: Path, flags: VerifyReceiptFlags, run: Run
) -> tuple[Catalog, Mapping[Digest, Document]]:
    """What a bundle carries, and its manifests.

    Raises:
        AirgapError: It cannot be read, or is something else.
    """
    path = as_seekable(path)
    keys, word = flags["identity"], flags["passphrase_file"]
    with encrypted_bundle((path,), keys, word, run) as encrypted:
        if encrypted is not None:
            front = encrypted.front()
            return front.catalog, front.documents
    content = open_record(path).content
    if not isinstance(content, Contents) or (content.catalog.manifests and not content.documents):
        raise SettingsError(
            f"{path} has no manifests to compare a receipt with", hint="name the bundle itself"
        )
    return content.catalog, content.documents


def _ask(
    session: Session, receipt: Receipt, registry: str, called: str, run: Run
) -> tuple[ReceiptFinding, ...]:
    with session.client(run) as client:
        return compare_with_registry(
            receipt,
            registry,
            client=client,
            called=called,
            jobs=session.settings.jobs,
            run=run,
        )


def _result(path: Path, receipt: Receipt) -> VerifiedReceipt:
    return VerifiedReceipt(
        path=str(path),
        receipt_id=receipt.id,
        bundle_id=receipt.bundle,
        registry=receipt.registry,
        prefix=receipt.prefix,
        started=time_text(receipt.started),
        finished=time_text(receipt.finished),
        by=receipt.by,
        version=receipt.version,
        outcome=receipt.outcome,
        error=receipt.error,
        images=dict(Counter(image.outcome for image in receipt.images)),
        manifests=len(receipt.manifests),
        blobs=len(receipt.blobs),
        failed=receipt.failed,
        log_length=receipt.log.length if receipt.log else None,
        log_head=receipt.log.head if receipt.log else None,
    )


def _error(result: VerifiedReceipt, receipt: Receipt) -> AirgapError | None:
    count = count_text(len(result.findings), "problem")
    code = exit_code(result.findings)
    if code == ExitCode.INTEGRITY:
        return IntegrityError(f"{result.path}: {count} found", hint=_hint(result))
    if code == ExitCode.INCOMPLETE:
        return IncompleteBundleError(
            f"{result.path}: {count} found",
            missing=[str(f.digest) for f in result.findings if f.digest is not None],
            hint="import the bundle again: it sends only what is not there",
        )
    if receipt.outcome == "complete":
        return None
    waiting = [f"{i.name}: {i.outcome}" for i in receipt.images if i.outcome in _OPEN]
    return PartialError(
        "the receipt is right, and says that "
        + ("the import failed" if receipt.outcome == "failed" else "not everything arrived"),
        failed=waiting,
        hint="import the bundle again: it sends only what is not there",
    )


def _hint(result: VerifiedReceipt) -> str:
    kinds = {finding.kind for finding in result.findings}
    if "other-registry" in kinds:
        return f"--as {result.registry} says that the registry is that one under another name"
    if "other-bundle" in kinds:
        return "compare the bundle ids: this receipt belongs to another import"
    return "do not believe this receipt, or find out who changed the registry since"


def _lines(result: VerifiedReceipt) -> Iterator[str]:
    yield from cut(f"{finding.kind}: {finding.message}" for finding in result.findings)
    state = count_text(len(result.findings), "problem") if result.findings else "no problem"
    against = f", compared with {' and '.join(result.compared)}" if result.compared else ""
    yield f"{result.path}: {state}{against}"
    to = f"{result.registry}/{result.prefix}" if result.prefix else result.registry
    by = f" by {result.by}" if result.by else ""
    yield f"import to {to}{by}, {result.started} to {result.finished}: {result.outcome}"
    parts = ", ".join(f"{count:,} {_OUTCOMES[name]}" for name, count in result.images.items())
    images = count_text(sum(result.images.values()), "image")
    manifests, blobs = count_text(result.manifests, "manifest"), count_text(result.blobs, "blob")
    yield f"{images}{f' ({parts})' if parts else ''}, {manifests}, {blobs}"
    if result.error is not None:
        yield f"stopped: {result.error.code}: {result.error.message}"
    yield from cut(f"failed: {f.name}: {f.message}" for f in result.failed)
    if result.signers:
        yield f"signed by {', '.join(map(str, result.signers))}"
    if result.log_length is not None:
        yield f"log of custody: {result.log_length:,} entries, the last one is {result.log_head}"
    yield from (f"note: {note}" for note in result.notes)
    yield f"bundle id: {result.bundle_id}"
