"""What became of publications: kept while they are sent, and told at any time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from airgap.bundle.catalog import Catalog
from airgap.oci.digest import Digest
from airgap.transfer.destination import Target
from airgap.transfer.existing_tags import ExistingTags
from airgap.transfer.outcome import Failure, ImportedImage, ImportResult, Outcome
from airgap.transfer.publication import Publication
from airgap.transfer.push_manifests import Sparse, tag_digests
from airgap.transfer.standing import Standing
from airgap.transfer.tally import Tally


class PublishReport:
    """What became of each publication. Several threads say so.

    Args:
        registry: What the destination is called.
        publications: What is sent.
        standing: Which failed, and which wait.
        tags: What tags named before.
        sparse: What may stand for an index whose left-out platforms are missing.
        is_dry: Whether nothing is sent.
    """

    def __init__(
        self,
        registry: str,
        publications: Sequence[Publication],
        standing: Standing,
        tags: ExistingTags,
        *,
        sparse: Sparse,
        is_dry: bool,
    ) -> None:
        self._registry = registry
        self._publications = publications
        self._standing = standing
        self._tags = tags
        self._sparse = sparse
        self._is_dry = is_dry
        self._lock = threading.Lock()
        self._named: dict[Target, Digest] = {}
        self._present: set[Target] = set()
        self._notes: list[str] = []

    def sent(self, publication: Publication, named: Digest, *, is_new: bool) -> None:
        """A publication is there.

        Args:
            publication: Which.
            named: What its name stands for now.
            is_new: Whether that was sent and not there already.
        """
        target = publication.target
        with self._lock:
            self._named[target] = named
            if target.tag is None and not is_new:
                self._present.add(target)
            self._notes.extend(self._notes_on(publication, named))

    def note(self, text: str) -> None:
        """Keep something that somebody should know."""
        with self._lock:
            self._notes.append(text)

    def images(self) -> Iterator[tuple[Target, ImportedImage]]:
        """What became of each image up to now; what is not there yet counts as failed."""
        for publication in self._publications:
            yield publication.target, self._image(publication)

    def failures(self) -> tuple[Failure, ...]:
        """What failed."""
        return tuple(
            Failure(target.image.reference.tagged, error)
            for target, error in self._standing.failed.items()
        )

    def result(self, catalog: Catalog, tally: Tally, *, seconds: float) -> ImportResult:
        """What became of everything that was to come from a bundle."""
        sent = {d.descriptor.digest for p in self._publications for d in p.all_documents()}
        rollbacks = tuple(rollback.text for rollback in self._tags.rollbacks.values())
        return ImportResult(
            catalog.id,
            tuple(image for _, image in self.images()),
            sum(len(p.referrals) for p in self._publications if self._standing.is_ready(p.target)),
            tally.pushed,
            tally.pushed_bytes,
            tally.present,
            tally.mounted,
            tally.manifests,
            self.failures(),
            tuple(o for o in catalog.omitted if not sent.isdisjoint(o.parents)),
            (*rollbacks, *self._notes),
            seconds,
            tally.copied,
        )

    def _notes_on(self, publication: Publication, named: Digest) -> Iterator[str]:
        """What became of a publication that somebody who looks at its name would not expect."""
        target = publication.target
        if named != target.image.digest:
            why = (
                "--sparse image asks for that, as not all of its platforms were exported"
                if self._sparse == "image"
                else "the registry wants all platforms of an index, and not all were exported"
            )
            yield f"{self._name(target)} is one image instead of an index: {why}"
        for referral in publication.referrals:
            if referral.tag in self._tags.kept(target.repository):
                yield (
                    f"{self._registry}/{target.repository}:{referral.tag} stays as it is: what "
                    f"{target.image.reference.tagged} brings under it is there by digest only, "
                    f"{referral.document.descriptor.digest}"
                )

    def _image(self, publication: Publication) -> ImportedImage:
        target = publication.target
        outcome, digest = self._outcome(publication, target)
        return ImportedImage(target.image.reference.tagged, self._name(target), digest, outcome)

    def _outcome(self, publication: Publication, target: Target) -> tuple[Outcome, Digest]:
        digest, named = target.image.digest, self._named.get(target)
        current = self._tags.current(target.repository, target.tag)
        if target in self._standing.failed:
            return "failed", digest
        if target in self._standing.waiting or target in self._standing.lacking:
            return "waiting", digest
        if named is None:  # it was stopped before
            return "failed", digest
        if target.tag in self._tags.kept(target.repository) and current is not None:
            return "skipped", current
        is_there = current in tag_digests(publication.root) or target in self._present
        if named == digest and is_there:
            return "present", digest
        if self._is_dry:
            return "planned", digest
        return ("pushed", digest) if named == digest else ("image-only", named)

    def _name(self, target: Target) -> str:
        return f"{self._registry}/{target.repository}{target.locator}"
