"""What an import did, noted while it does it, so that a receipt can be made however it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from airgap.bundle.catalog import Catalog
from airgap.errors import AirgapError, CancelledError, ConflictError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.record.log import LogPosition
from airgap.record.receipt import (
    BlobOutcome,
    Receipt,
    ReceiptEntry,
    ReceiptFailure,
    ReceiptImage,
    ReceiptImageOutcome,
    ReceiptOutcome,
    ReceiptTag,
    in_order,
)
from airgap.record.receipt_format import failure_of, write_receipt
from airgap.transfer.destination import Destination, Target
from airgap.transfer.outcome import Failure, ImportedImage
from airgap.transfer.publish_report import PublishReport
from airgap.version import __version__

Clock = Callable[[], datetime]
_RANKS: dict[str, int] = {
    outcome: rank
    for rank, outcome in enumerate(
        ("failed", "waiting", "present", "skipped", "image-only", "pushed")
    )
}
"""What counts where an import made several passes over an image: what was done to it at most."""
Entries = dict[tuple[Digest, str], ReceiptEntry]


@dataclass(slots=True)
class _Begun:
    """What is known once a bundle's front was read."""

    catalog: Catalog
    to: Destination


@dataclass(slots=True)
class _Noted:
    """What the registry has, by digest and repository."""

    blobs: Entries = field(default_factory=Entries)
    manifests: Entries = field(default_factory=Entries)
    tags: dict[tuple[str, str], Digest] = field(default_factory=dict[tuple[str, str], Digest])


class Ledger:
    """Takes down what an import does. Told by several threads; one import has one ledger.

    Args:
        clock: Gives the time in UTC.
        by: Who imports, as they call themselves.
        before: The receipt of an earlier run that this one's will replace, if there is one.
    """

    def __init__(self, clock: Clock, *, by: str = "", before: Receipt | None = None) -> None:
        self._clock = clock
        self._by = by
        self._before = before
        self._started = clock()
        self._lock = threading.Lock()
        self._begun: _Begun | None = None
        self._noted = _Noted()
        self._reports: list[PublishReport] = []

    def begin(self, catalog: Catalog, to: Destination) -> None:
        """Say what is imported, and where to. Again for every medium.

        Raises:
            ConflictError: The receipt that would be replaced is of something else.
        """
        before = self._before
        mine = (catalog.id, to.registry, to.prefix)
        if before is not None and (before.bundle, before.registry, before.prefix) != mine:
            raise ConflictError(
                f"the receipt that is there is of the bundle {before.bundle.short} to "
                f"{before.registry}, and would be replaced by that of another import",
                hint="give --receipt another name",
                origin="local",
            )
        self._begun = _Begun(catalog, to)

    def watch(self, report: PublishReport) -> None:
        """Take what becomes of images from a report, whenever the receipt is made."""
        self._reports.append(report)

    def blob(self, descriptor: Descriptor, repository: str, outcome: BlobOutcome, /) -> None:
        """A repository has a blob; how it first came there counts."""
        self._note(self._noted.blobs, descriptor, repository, outcome)

    def manifest(self, descriptor: Descriptor, repository: str, outcome: BlobOutcome, /) -> None:
        """A repository has a manifest; how it first came there counts."""
        self._note(self._noted.manifests, descriptor, repository, outcome)

    def tag(self, repository: str, tag: str, digest: Digest, /) -> None:
        """A tag of a repository names a manifest."""
        with self._lock:
            self._noted.tags[repository, tag] = digest

    def receipt(
        self, error: BaseException | None = None, *, log: LogPosition | None = None
    ) -> Receipt | None:
        """The receipt of what was done up to now; None where it is not known of which bundle.

        Args:
            error: What ended the import; None where it came to its end.
            log: How far the log of custody goes.

        Raises:
            SettingsError: A text that was given cannot stand in a receipt.
        """
        if self._begun is None:
            return None
        catalog, to = self._begun.catalog, self._begun.to
        images = tuple(self._images(catalog))
        # The tag of an image that failed after it was set is told, too: it names something now.
        names = {(image.repository, image.tag) for image in images if image.named is not None}
        failed = {f.name: failure_of(f.error, f.name) for f in self._failures()}
        still = {image.name for image in images if image.outcome == "failed"}
        return write_receipt(
            Receipt(
                bundle=catalog.id,
                bases=catalog.bases,
                registry=to.registry,
                prefix=to.prefix,
                started=self._started,
                finished=self._clock(),
                version=__version__,
                by=self._by,
                outcome=_outcome(images, error),
                error=None if error is None else _stop(error),
                images=images,
                manifests=in_order(self._noted.manifests.values()),
                blobs=in_order(self._noted.blobs.values()),
                tags=tuple(
                    ReceiptTag(repository, tag, digest)
                    for (repository, tag), digest in sorted(self._noted.tags.items())
                    if (repository, tag) not in names
                ),
                failed=tuple(failed[name] for name in sorted(failed) if name in still),
                log=log,
            )
        )

    def _note(
        self, entries: Entries, descriptor: Descriptor, repository: str, outcome: BlobOutcome
    ) -> None:
        digest = descriptor.digest
        entry = ReceiptEntry(digest, repository, descriptor.size, outcome)
        with self._lock:
            entries.setdefault((digest, repository), entry)

    def _images(self, catalog: Catalog) -> Iterator[ReceiptImage]:
        found: dict[str, tuple[Target, ImportedImage]] = {}
        for report in self._reports:
            for target, imported in report.images():
                _, known = found.get(imported.source, (target, imported))
                if _RANKS[imported.outcome] >= _RANKS[known.outcome]:
                    found[imported.source] = target, imported
        for image in catalog.images:
            name = image.reference.tagged
            if name in found:
                target, imported = found[name]
                yield _receipt_image(target, imported)
            else:
                outcome: ReceiptImageOutcome = "left" if self._reports else "failed"
                yield ReceiptImage(name, image.digest, "", "", outcome)

    def _failures(self) -> Iterator[Failure]:
        for report in self._reports:
            yield from report.failures()


def _receipt_image(target: Target, imported: ImportedImage) -> ReceiptImage:
    assert imported.outcome != "planned", "a dry run has no receipt"
    is_named = imported.outcome not in ("failed", "waiting")
    return ReceiptImage(
        imported.source,
        target.image.digest,
        target.repository,
        target.tag or "",
        imported.outcome,
        imported.digest if is_named else None,
    )


def _outcome(images: tuple[ReceiptImage, ...], error: BaseException | None) -> ReceiptOutcome:
    if error is not None:
        return "failed"
    is_partial = any(image.outcome in ("failed", "waiting") for image in images)
    return "partial" if is_partial else "complete"


def _stop(error: BaseException) -> ReceiptFailure:
    if isinstance(error, AirgapError):
        return failure_of(error)
    if isinstance(error, KeyboardInterrupt):
        return failure_of(CancelledError("interrupted"))
    return failure_of(AirgapError(f"unexpected {type(error).__name__}"))
