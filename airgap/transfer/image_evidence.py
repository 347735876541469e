"""Where the signatures of images come from: the source of an export, or a bundle and its receiver.

Whoever reads a payload hashes it first, so it does not matter from which place its bytes come.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Protocol

from airgap.bundle.reader import BundleReader, numbers_text
from airgap.bundle.stream import BundleStream
from airgap.content.store import Chunks
from airgap.content.verify import verified
from airgap.errors import (
    AirgapError,
    ContentNotFoundError,
    IncompleteBundleError,
    Origin,
    SettingsError,
)
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest, Verifier
from airgap.oci.manifest import Document
from airgap.registry.client import Client
from airgap.run import Run
from airgap.transfer.decrypted import EncryptedBundle
from airgap.transfer.destination import Destination, Target
from airgap.transfer.export_options import ExportOptions
from airgap.transfer.image_policy import Candidate, RequiredKey, check_images
from airgap.transfer.plan import ExportSelection
from airgap.transfer.publication import Publication
from airgap.transfer.publisher import Publisher
from airgap.transfer.sources import Sources
from airgap.trust.cosign import claims

MAX_PAYLOADS = 64 << 20
"""The most bytes of payloads that are kept in memory while encrypted files are gone through."""


class Shelf(Protocol):
    """Where the payloads of a bundle are read."""

    def read(self, payload: Descriptor, /) -> bytes | None:
        """The verified bytes; None where they are not here."""
        ...

    def absence(self, payload: Descriptor, /) -> AirgapError | None:
        """What is wrong where the receiver does not have it either; None: it is gone for good."""
        ...


class _Readable(Protocol):
    def open(self, descriptor: Descriptor, /) -> AbstractContextManager[Chunks]: ...


def check_selection(
    selection: ExportSelection, options: ExportOptions, sources: Sources, *, run: Run
) -> None:
    """See that every image of an export is signed by every key that is demanded.

    Args:
        selection: What is to travel.
        options: Whose signatures it must have. Where signatures do not travel themselves, the
            source is asked for them all the same.
        sources: Where it comes from.
        run: Cancellation.

    Raises:
        UnsignedImagesError: Some are not; each is listed.
        AirgapError: A signature could not be got.
    """
    images = (
        Candidate(
            image.reference.tagged,
            image.reference.name,
            selection.documents[image.digest],
            selection.documents,
        )
        for image in selection.catalog.images
    )
    evidence = _SourceEvidence(selection, sources, has_referrers=options.referrers)
    check_images(images, options.require_signature, evidence, run=run)


def check_import(
    publisher: Publisher,
    required: Sequence[RequiredKey],
    shelf: Shelf,
    *,
    judged: Container[Target] = (),
    to: Destination,
    client: Client,
    run: Run,
) -> None:
    """See that every image of an import is signed by every key that is demanded.

    Images that wait for another bundle are judged when that one is imported.

    Args:
        publisher: Knows what is to be sent, and where the receiver has what was left to it.
        required: Whose signatures it must have.
        shelf: Gives payloads of the bundle. What it left to the receiver is read there.
        judged: What was judged at an earlier medium of the same bundle.
        to: The receiver.
        client: Talks to it.
        run: Cancellation.

    Raises:
        UnsignedImagesError: Some are not; each is listed.
        AirgapError: A signature could not be got.
    """
    images = (
        Candidate(
            p.target.image.reference.tagged,
            p.target.repository,
            p.root,
            {d.descriptor.digest: d for d in p.documents},
        )
        for p in publisher.ready
        if p.target not in judged
    )
    places = partial(client.repository, to.registry, origin="destination")
    check_images(images, required, _ImportEvidence(publisher, shelf, places), run=run)


class FileShelf:
    """Payloads in the files of a bundle that are here.

    Args:
        reader: The bundle.
    """

    def __init__(self, reader: BundleReader) -> None:
        self._reader = reader
        self._blobs = {digest for digest, _ in reader.catalog.blobs}

    def read(self, payload: Descriptor, /) -> bytes | None:
        """The verified bytes; None where they are not here."""
        return self._reader.read_blob(payload.digest) if self._reader.has_blob(payload) else None

    def absence(self, payload: Descriptor, /) -> AirgapError | None:
        """What is wrong where the receiver does not have it either; None: it is gone for good."""
        if payload.digest not in self._blobs:
            return None
        first, last = self._reader.home(payload.digest)
        lacking = [n for n in self._reader.missing_volumes if first <= n <= last]
        return IncompleteBundleError(
            f"the signature {payload.digest} lies in volume {numbers_text(lacking)}, which is not "
            "here",
            missing=[f"volume {number}" for number in lacking],
            hint="begin with the medium that holds that volume, or name all volumes at once",
        )


class PipeShelf:
    """No payloads: what a pipe brings comes after the decision."""

    def read(self, _: Descriptor, /) -> bytes | None:
        """Nothing."""
        return None

    def absence(self, payload: Descriptor, /) -> AirgapError | None:
        """That a pipe cannot be read twice."""
        return SettingsError(
            f"the signature {payload.digest} comes behind the front of the bundle, and a pipe "
            "cannot be read twice",
            hint="write the bundle to a file first and import that, or leave out "
            "--require-signature",
        )


class EncryptedShelf:
    """Payloads of encrypted files, which are gone through once more for them.

    Args:
        bundle: The files.
        publications: What is to be sent.

    Raises:
        SettingsError: The payloads have too many bytes together.
        AirgapError: A file cannot be read or decrypted.
    """

    def __init__(self, bundle: EncryptedBundle, publications: Iterable[Publication]) -> None:
        self._found: dict[Digest, bytes] = {}
        wanted = {
            claim.payload.digest: claim.payload
            for publication in publications
            for referral in publication.referrals
            for claim in claims(referral.document)
        }
        if sum(payload.size for payload in wanted.values()) > MAX_PAYLOADS:
            raise SettingsError(
                f"the signatures have more than {MAX_PAYLOADS} bytes together",
                hint="decrypt the bundle first (age -d), and import the file",
            )
        if not wanted:
            return
        with bundle.again() as once_more:
            for blob in once_more.blobs():
                payload = wanted.pop(blob.digest, None)
                if payload is not None:
                    self._found[blob.digest] = _whole(blob.chunks, payload, "bundle")
                if not wanted:
                    return

    def read(self, payload: Descriptor, /) -> bytes | None:
        """The verified bytes; None where they were not there."""
        return self._found.get(payload.digest)

    def absence(self, _: Descriptor, /) -> AirgapError | None:
        """Nothing more is to be said of it."""
        return None


def shelf_of(
    bundle: BundleReader | BundleStream | EncryptedBundle, publications: Iterable[Publication]
) -> Shelf:
    """Where the payloads of a bundle are read.

    Args:
        bundle: What is imported.
        publications: What of it is to be sent.

    Raises:
        SettingsError: The payloads of encrypted files have too many bytes together.
        AirgapError: An encrypted file cannot be read or decrypted.
    """
    if isinstance(bundle, BundleReader):
        return FileShelf(bundle)
    if isinstance(bundle, EncryptedBundle):
        return EncryptedShelf(bundle, publications)
    return PipeShelf()


class _SourceEvidence:
    """Signatures where the images come from."""

    def __init__(
        self, selection: ExportSelection, sources: Sources, *, has_referrers: bool
    ) -> None:
        self._sources = sources
        self._documents = selection.documents
        self._has_referrers = has_referrers
        self._travelling: dict[tuple[str, Digest], list[Digest]] = {}
        for referrer in selection.catalog.referrers:
            place = (referrer.repository, referrer.subject)
            self._travelling.setdefault(place, []).append(referrer.digest)

    def signatures(self, repository: str, digest: Digest, /) -> Iterable[Document]:
        if self._has_referrers:
            return [self._documents[d] for d in self._travelling.get((repository, digest), ())]
        found, documents = self._sources.referrers(repository, digest)
        known = {document.descriptor.digest: document for document in documents}
        lists = (known.get(r.digest) or self._manifest(repository, r.descriptor) for r in found)
        return (document for document in lists if document is not None)

    def read(self, repository: str, payload: Descriptor, /) -> bytes | None:
        return _read(self._sources.open(repository), payload, "source")

    def _manifest(self, repository: str, listed: Descriptor) -> Document | None:
        source = self._sources.open(repository)
        try:
            return source.manifest(str(listed.digest), media_type=listed.media_type)
        except ContentNotFoundError:  # listed, and gone: it says nothing about the image
            return None


class _ImportEvidence:
    """Signatures of a bundle, and what it left of them to the receiver."""

    def __init__(
        self, publisher: Publisher, shelf: Shelf, places: Callable[[str], _Readable]
    ) -> None:
        self._shelf = shelf
        self._home_of = publisher.home_of
        self._places = places
        self._referrals: dict[tuple[str, Digest], dict[Digest, Document]] = {}
        for publication in publisher.ready:
            for referral in publication.referrals:
                place = (publication.target.repository, referral.subject)
                document = referral.document
                self._referrals.setdefault(place, {})[document.descriptor.digest] = document

    def signatures(self, repository: str, digest: Digest, /) -> Iterable[Document]:
        return self._referrals.get((repository, digest), {}).values()

    def read(self, repository: str, payload: Descriptor, /) -> bytes | None:
        content = self._shelf.read(payload)
        if content is None:  # left to the receiver, or brought by an earlier import
            home = self._home_of(payload.digest) or repository
            content = _read(self._places(home), payload, "destination")
        if content is None and (error := self._shelf.absence(payload)) is not None:
            raise error
        return content


def _read(place: _Readable, payload: Descriptor, origin: Origin) -> bytes | None:
    try:
        with place.open(payload) as chunks:
            return _whole(chunks, payload, origin)
    except ContentNotFoundError:
        return None


def _whole(chunks: Chunks, payload: Descriptor, origin: Origin) -> bytes:
    verifier = Verifier(payload.digest, payload.size, origin=origin)
    return b"".join(verified(chunks, verifier, offset=0))
