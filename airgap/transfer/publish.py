"""Importing a bundle: what it carries is put into a registry, and proved to be there.

Nothing here ever talks to a source registry.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from airgap.bundle.catalog import Catalog
from airgap.bundle.reader import BundleReader, open_bundle
from airgap.bundle.stream import BundleStream
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document
from airgap.registry.client import Client
from airgap.run import Run
from airgap.run.events import PhaseFinished, PhaseStarted
from airgap.transfer.base_guard import PHASE as GUARD
from airgap.transfer.base_guard import Elsewhere, need_commands
from airgap.transfer.decrypted import EncryptedBundle
from airgap.transfer.destination import Destination, plan_targets
from airgap.transfer.existing_tags import OnExistingTag
from airgap.transfer.ledger import Ledger
from airgap.transfer.outcome import ImportResult
from airgap.transfer.publication import plan_publications
from airgap.transfer.publisher import Publisher, PublishSettings
from airgap.transfer.push_manifests import Sparse
from airgap.transfer.receiver import RegistryReceiver
from airgap.transfer.rollback import RollbackGuard
from airgap.transfer.standing import PHASE
from airgap.trust.signatures import Signatures
from airgap.trust.signer import Signer

if TYPE_CHECKING:  # who demands signatures has loaded it
    from airgap.transfer.image_policy import RequiredKey
    from airgap.trust.policy import Trust, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """What of a bundle is imported, and how.

    Attributes:
        keep_host: Whether the source registry's host stays as the first part of the path.
        only: Globs on source names; none means all images.
        on_existing_tag: What to do with a tag that names another digest.
        sparse: What to do with an index whose left-out platforms are missing.
        tag_digests: What begins the tags of images that are known by digest alone; None pushes
            them by digest.
        expect: The only bundle id that is accepted.
        trust: Who must have signed the bundle; None where nobody must.
        signatures: Signatures that came beside the bundle.
        require_signature: Whose signatures every image must have before anything is sent.
        jobs: How many requests the registry gets at a time.
        keep_going: Whether an image that fails leaves the others alone.
        dry_run: Whether only to find out what would be sent.
        rollback: Says which tags would go back to an older image, and whether they may.
        mount_from: Repositories of the registry in which to look for what the bundle leaves to it.
        ledger: Takes down what is done, for a receipt.
        naming: The options of `export inventory` that say which bundle this is, for commands that
            are proposed.
    """

    keep_host: bool = False
    only: tuple[str, ...] = ()
    on_existing_tag: OnExistingTag = "error"
    sparse: Sparse = "index"
    tag_digests: str | None = None
    expect: Digest | None = None
    trust: Trust | None = None
    signatures: Signatures = field(default_factory=Signatures)
    require_signature: tuple[RequiredKey, ...] = ()
    jobs: int = 4
    keep_going: bool = False
    dry_run: bool = False
    rollback: RollbackGuard | None = None
    mount_from: tuple[str, ...] = ()
    ledger: Ledger | None = None
    naming: tuple[str, ...] = ()


def import_bundle(
    bundle: Path | Sequence[Path] | BinaryIO | EncryptedBundle,
    to: Destination,
    *,
    client: Client,
    options: ImportOptions | None = None,
    run: Run | None = None,
) -> ImportResult:
    """Put what a bundle carries into a registry. May be repeated: only what is missing is sent.

    Args:
        bundle: The file, its volumes or the folders that hold them, a stream that gives its
            bytes once, or encrypted files.
        to: The registry, and the path below which repositories go.
        client: Talks to the registry.
        options: What is imported.
        run: Progress and cancellation.

    Returns:
        What was sent. With `keep_going`, `failed` names what the registry does not have.

    Raises:
        AirgapError: The registry does not have all of it; what it took needs not be sent again.
    """
    options, run = options or ImportOptions(), run or Run()
    work = _Import(to, client, options, run)
    if isinstance(bundle, Path | Sequence):
        with open_bundle(bundle, expected=options.expect) as reader:
            return work.from_file(reader)
    if isinstance(bundle, EncryptedBundle):
        return work.from_pipe(bundle)
    return work.from_pipe(BundleStream(bundle, run=run))


class _Import:
    def __init__(self, to: Destination, client: Client, options: ImportOptions, run: Run) -> None:
        self._to = to
        self._client = client
        self._options = options
        self._run = run
        self._started = time.monotonic()
        self._signers: tuple[Signer, ...] = ()

    def from_file(self, reader: BundleReader) -> ImportResult:
        publisher = self._publisher(reader.catalog, reader.documents)
        publisher.check_tags()
        check_bases(publisher, reader.catalog, self._to, self._options, run=self._run)
        self._check_images(publisher, reader)
        begin_push(publisher, self._run)
        publisher.push_blobs(reader)
        return self._finish(publisher, reader.catalog)

    def from_pipe(self, stream: BundleStream | EncryptedBundle) -> ImportResult:
        front = stream.front()
        stream.check_alone()
        publisher = self._publisher(front.catalog, front.documents)
        publisher.check_tags()
        check_bases(publisher, front.catalog, self._to, self._options, run=self._run)
        self._check_images(publisher, stream)
        begin_push(publisher, self._run)
        if self._options.dry_run:
            publisher.push_blobs(None)
        else:
            publisher.push_held()
            for blob in stream.blobs():
                publisher.push_passing(blob.digest, blob.chunks)
            publisher.push_documents(front.documents)
            stream.finish()
        return self._finish(publisher, front.catalog)

    def _publisher(self, catalog: Catalog, documents: Mapping[Digest, Document]) -> Publisher:
        front = (catalog, documents)
        publisher, self._signers = plan_import(
            front, self._to, self._client, self._options, self._run
        )
        return publisher

    def _check_images(
        self, publisher: Publisher, bundle: BundleReader | BundleStream | EncryptedBundle
    ) -> None:
        required = self._options.require_signature
        if not required:
            return
        from airgap.transfer.image_evidence import check_import, shelf_of  # only where demanded

        shelf = shelf_of(bundle, publisher.ready)
        check_import(publisher, required, shelf, to=self._to, client=self._client, run=self._run)

    def _finish(self, publisher: Publisher, catalog: Catalog) -> ImportResult:
        publisher.push_manifests()
        self._run.emit(PhaseFinished(PHASE))
        result = publisher.result(catalog, seconds=time.monotonic() - self._started)
        return replace(result, signers=self._signers)


def plan_import(
    front: tuple[Catalog, Mapping[Digest, Document]],
    to: Destination,
    client: Client,
    options: ImportOptions,
    run: Run,
) -> tuple[Publisher, tuple[Signer, ...]]:
    """Decide what of a bundle goes where, if it is let in; gives those who signed it, too.

    Args:
        front: What the bundle carries, and its manifests.
        to: The registry, and the path below which repositories go.
        client: Talks to the registry.
        options: What is imported.
        run: Progress and cancellation.

    Raises:
        AirgapError: It is another bundle than the expected one, is not signed as demanded, or
            cannot have these names.
    """
    catalog, documents = front
    if options.ledger is not None:
        options.ledger.begin(catalog, to)
    catalog.expect(options.expect)
    verdict = _judged(catalog, options, run)
    targets = plan_targets(
        catalog.images,
        to,
        keep_host=options.keep_host,
        only=options.only,
        tag_digests=options.tag_digests,
    )
    settings = PublishSettings(
        options.on_existing_tag,
        options.sparse,
        options.jobs,
        options.keep_going,
        options.dry_run,
        options.rollback,
        options.ledger,
    )
    publications = plan_publications(targets, catalog, documents)
    publisher = Publisher(RegistryReceiver(client, to.registry), publications, settings, run=run)
    return publisher, verdict.signers if verdict is not None else ()


def _judged(catalog: Catalog, options: ImportOptions, run: Run) -> Verdict | None:
    if options.trust is None:
        return None
    from airgap.transfer.trusting import check_bundle_trust  # only where somebody is trusted

    return check_bundle_trust(catalog, options.trust, options.signatures, run=run)


def check_bases(
    publisher: Publisher, catalog: Catalog, to: Destination, options: ImportOptions, *, run: Run
) -> None:
    """Ask a registry for everything that a bundle leaves to it.

    Args:
        publisher: What is to be sent.
        catalog: What the bundle carries, and leaves.
        to: The registry, and the path below which repositories go.
        options: What is imported.
        run: Progress.

    Raises:
        MissingBaseError: Something is not there, and what needs it is not left out.
    """
    hint = need_commands(
        options.naming, to, keep_host=options.keep_host, mount_from=options.mount_from
    )
    elsewhere = Elsewhere(
        to=to, keep_host=options.keep_host, mount_from=options.mount_from, hint=hint
    )
    if not catalog.held:
        return
    run.emit(PhaseStarted(GUARD, len(catalog.held)))
    publisher.check_bases(catalog, elsewhere)
    run.emit(PhaseFinished(GUARD))


def begin_push(publisher: Publisher, run: Run) -> None:
    """Say how much a push is about."""
    run.emit(PhaseStarted(PHASE, publisher.blob_count, publisher.blob_bytes))
