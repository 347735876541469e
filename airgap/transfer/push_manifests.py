"""Sending manifests: children first, then what refers to them, then tags; and asking them back."""

from __future__ import annotations

from collections.abc import Collection, Iterator, MutableMapping, Sequence
from contextlib import AbstractContextManager
from typing import Literal

from airgap.errors import (
    ContentNotFoundError,
    IntegrityError,
    InvalidContentError,
    MissingSuccessorError,
    RegistryProtocolError,
)
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document, Index, parse_manifest
from airgap.oci.referrers import fallback_tag, referrer_descriptor, referrers_index
from airgap.run import Run
from airgap.transfer.publication import Publication, Referral
from airgap.transfer.receiver import ReceivingRepository
from airgap.transfer.tally import Tally

Sparse = Literal["index", "image", "fail"]


class ManifestPusher:
    """Sends the manifests of publications whose blobs are there.

    Args:
        repository: Where they go.
        sparse: What to do where an index is refused because left-out platforms are missing.
        tags: What the tags that will be set name now, as far as they exist; kept up to date.
        keep_tags: Tags that stay as they are.
        tally: Counts what is sent.
        list_lock: Held while a list of referrers is read, changed and written.
        run: Progress and cancellation.
    """

    def __init__(
        self,
        repository: ReceivingRepository,
        *,
        sparse: Sparse,
        tags: MutableMapping[str, Digest],
        keep_tags: Collection[str],
        tally: Tally,
        list_lock: AbstractContextManager[object],
        run: Run,
    ) -> None:
        self.sent: set[Digest] = set()
        """What was not there by digest before."""
        self._list_lock = list_lock
        self._repository = repository
        self._sparse = sparse
        self._tags = tags
        self._keep_tags = keep_tags
        self._tally = tally
        self._run = run

    def push(self, publication: Publication) -> Document:
        """Send everything of one image and ask it back.

        Returns:
            What the name stands for now: the root, or one image of an index that was refused.

        Raises:
            AirgapError: Something is not there. A tag is only set when all that it needs was taken.
        """
        named, sent = self._put_image(publication)
        for referral in publication.referrals:
            for document in referral.documents:
                self._put(document)
                sent.append(document)
            if referral.tag:
                self._tag(referral.document, referral.tag)
        self._list_referrers(publication.referrals)
        if publication.target.tag is not None:
            self._tag(named, publication.target.tag)
        self._confirm(sent)
        return named

    def _put_image(self, publication: Publication) -> tuple[Document, list[Document]]:
        """Send the image's manifests: what its name stands for, and all that were sent.

        The root goes under its tag at once where nothing has to be there between the two.
        """
        sent: list[Document] = []
        if publication.is_sparse and self._sparse == "image":
            image = self._single_image(publication)
            # What the index lists beside it (attestations) is not lost with the index.
            sent.extend(d for d in publication.documents if not isinstance(d, Index))
            for document in sent:
                self._put(document)
            return image, sent
        *children, root = publication.documents
        try:
            for document in children:
                self._put(document)
                sent.append(document)
            tag = publication.target.tag
            is_renamed = len(tag_digests(root)) > 1
            if publication.referrals or tag is None or tag in self._keep_tags or is_renamed:
                self._put(root)
            else:
                self._tag(root, tag)
        except MissingSuccessorError as error:
            if not publication.is_sparse:
                raise
            return self._instead_of_index(publication, error), sent
        return root, [*sent, root]

    def _instead_of_index(self, publication: Publication, error: MissingSuccessorError) -> Document:
        if self._sparse == "fail":
            raise RegistryProtocolError(
                f"{self._repository.name} refuses the index of "
                f"{publication.target.image.reference.tagged} without the platforms that were "
                "left out",
                hint="export all platforms, or import with --sparse image",
                origin="destination",
            ) from error
        return self._single_image(publication)

    def _single_image(self, publication: Publication) -> Document:
        image = publication.single_image()
        if image is None:
            raise RegistryProtocolError(
                f"{self._repository.name} cannot take the index of "
                f"{publication.target.image.reference.tagged} without the platforms that were left "
                "out, and no single image can stand for the several that travelled",
                hint="export it with one --platform, or with all",
                origin="destination",
            )
        return image

    def _put(self, document: Document) -> None:
        """Send a manifest by digest unless it is there."""
        self._run.cancel.check()
        is_missing = self._repository.resolve(str(document.descriptor.digest)) is None
        if is_missing:
            self._repository.put_manifest(document)
            self.sent.add(document.descriptor.digest)
        self._note(document, is_sent=is_missing)

    def _tag(self, document: Document, tag: str) -> None:
        """Let a tag name a manifest, unless it does already or is to stay."""
        self._run.cancel.check()
        if tag in self._keep_tags:
            return
        is_moved = self._tags.get(tag) not in tag_digests(document)
        if is_moved:
            self._repository.put_manifest(document, tag=tag)
            self._tags[tag] = document.descriptor.digest
        self._note(document, is_sent=is_moved)
        self._tally.tag(self._repository.repository, tag, document.descriptor.digest)

    def _note(self, document: Document, *, is_sent: bool) -> None:
        self._tally.manifest(document.descriptor, self._repository.repository, is_sent=is_sent)

    def _list_referrers(self, referrals: Sequence[Referral]) -> None:
        """Keep the lists of referrers up where the registry does not do that itself.

        Source: distribution-spec, "Pushing Manifests with Subject".
        """
        by_subject: dict[Digest, list[Referral]] = {}
        for referral in referrals:
            subject = referral.document.subject
            subjects = {subject.digest} if subject is not None else set()
            if referral.tag is None:
                subjects.add(referral.subject)
            for digest in subjects:
                by_subject.setdefault(digest, []).append(referral)
        for digest, found in by_subject.items():
            has_api = self._repository.referrers(digest) is not None
            # A registry that takes a referrer without a word of its subject does not list it.
            has_api = has_api and self._repository.has_referrers_api is not False
            entries = [
                referrer_descriptor(referral.document)
                for referral in found
                if not (has_api and _names_subject(referral.document, digest))
            ]
            if entries:
                with self._list_lock:
                    self._merge_fallback(digest, entries)

    def _merge_fallback(self, subject: Digest, entries: Sequence[Descriptor]) -> None:
        tag = fallback_tag(subject)
        listed: tuple[Descriptor, ...] = ()
        if self._repository.resolve(tag) is not None:
            document = self._repository.manifest(tag)
            if not isinstance(document, Index):
                raise InvalidContentError(
                    f"{self._repository.name}:{tag} should list referrers and is no index",
                    origin="destination",
                )
            listed = document.manifests
        missing = {entry.digest for entry in entries} - {entry.digest for entry in listed}
        if missing:
            raw = referrers_index([*listed, *(e for e in entries if e.digest in missing)])
            self._repository.put_manifest(parse_manifest(raw, mediatype.OCI_INDEX), tag=tag)

    def _confirm(self, documents: Sequence[Document]) -> None:
        """Ask every manifest back by its digest.

        Raises:
            ContentNotFoundError: The registry took it and does not have it.
            IntegrityError: It gives another one.
        """
        for digest in dict.fromkeys(document.descriptor.digest for document in documents):
            found = self._repository.resolve(str(digest))
            if found is None:
                raise ContentNotFoundError(
                    f"{self._repository.name} took {digest} and does not have it",
                    hint="run the same command again",
                    origin="destination",
                )
            if found.digest != digest:
                raise IntegrityError(
                    f"{self._repository.name} answers {found.digest} for {digest}",
                    expected=str(digest),
                    actual=str(found.digest),
                    origin="destination",
                )


def tag_digests(document: Document) -> tuple[Digest, ...]:
    """What a tag of a manifest may name: its digest, or the sha256 that registries make.

    Source: distribution-spec, "Pushing Manifests": only a push by digest says the algorithm.
    """
    own = document.descriptor.digest
    return (own,) if own.algorithm == "sha256" else (own, Digest.of(document.raw))


def set_tags(publication: Publication, sparse: Sparse) -> Iterator[tuple[str, tuple[Digest, ...]]]:
    """The tags that a publication sets, and what they may name already."""
    target = publication.target
    if target.tag is not None:
        yield target.tag, _names(publication, sparse)
    for referral in publication.referrals:
        if referral.tag is not None:
            yield referral.tag, tag_digests(referral.document)


def _names(publication: Publication, sparse: Sparse) -> tuple[Digest, ...]:
    """What the name of an image stands for: its root, or what an earlier run put in its place."""
    root = tag_digests(publication.root)
    image = publication.single_image() if publication.is_sparse and sparse != "fail" else None
    if image is None:
        return root
    return tag_digests(image) if sparse == "image" else root + tag_digests(image)


def _names_subject(document: Document, subject: Digest) -> bool:
    """Whether a manifest says itself what it refers to, so that a registry can know."""
    return document.subject is not None and document.subject.digest == subject
