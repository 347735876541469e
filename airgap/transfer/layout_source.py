"""An image layout in a folder, as other tools write it, as something to export from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airgap.bundle.catalog import Catalog, CatalogImage, CatalogReferrer, Omission
from airgap.bundle.front import MAX_DOCUMENTS
from airgap.content.datafolder import is_data_folder
from airgap.content.storage import storage_errors
from airgap.content.store import CHUNK_SIZE, Chunks
from airgap.errors import (
    ContentNotFoundError,
    DigestMismatchError,
    InvalidContentError,
    InvalidReferenceError,
    SettingsError,
)
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest, Verifier
from airgap.oci.document import parse_object
from airgap.oci.layout import CONTAINERD_NAME, INDEX_FILE, REF_NAME, blob_path
from airgap.oci.manifest import MAX_MANIFEST_SIZE, Document, parse_manifest
from airgap.oci.reference import Reference
from airgap.oci.referrers import cosign_subject

MAX_INDEX = 64 * 1024 * 1024
"""An index.json with more bytes is not read into memory."""

_FULL_NAMES = (
    f"{INDEX_FILE} must give every image its full name, as registry.example/repository:tag in "
    f"{REF_NAME} or {CONTAINERD_NAME}"
)


class LayoutFolder:
    """An image layout to read from. Its names must be full references.

    What index.json lists without a name counts as a referrer where it has a subject. A
    non-distributable layer that is not there counts as left out.

    Args:
        root: The folder.

    Attributes:
        name: The path, for people.
        catalog: What a bundle of it would say that it carries.
        documents: Every manifest and index that its images need.

    Raises:
        SettingsError: A name is not a full one, or a registry keeps its data here.
        ContentNotFoundError: A manifest is not there.
        IntegrityError: A manifest has another digest or size than it should have.
        InvalidContentError: index.json or a manifest makes no sense.
    """

    def __init__(self, root: Path) -> None:
        self.name = str(root)
        self._root = root
        self._held_bytes = 0
        self.documents: dict[Digest, Document] = {}
        self._blobs: dict[Digest, int] = {}
        self._omitted: dict[Digest, Omission] = {}
        entries = self._entries()
        for entry in entries:
            self._walk(entry)
        self.catalog = self._catalog(entries)

    def has_blob(self, descriptor: Descriptor, /) -> bool:
        """Whether the blob lies in this folder."""
        with storage_errors(self._root):
            return (self._root / blob_path(descriptor.digest)).is_file()

    @contextmanager
    def open(self, descriptor: Descriptor, /, *, offset: int = 0) -> Iterator[Chunks]:
        """Read a blob from an offset on.

        Raises:
            ContentNotFoundError: There is no such blob.
            StorageError: It could not be read.
        """
        path = self._root / blob_path(descriptor.digest)
        with storage_errors(path):
            try:
                file = path.open("rb", buffering=0)
            except FileNotFoundError as error:
                raise ContentNotFoundError(
                    f"{self.name} lacks {descriptor.digest}", origin="source"
                ) from error
        with file:
            yield _chunks(path, file.fileno(), offset)

    def close(self) -> None:
        """Nothing stays open."""

    def _entries(self) -> tuple[Descriptor, ...]:
        if is_data_folder(self._root):
            # It is a layout by its files, but index.json names nothing of what it holds.
            raise SettingsError(
                f"{self.name} is the data of a registry, and no image layout",
                hint=f"`airgap export inventory --from {self.name}` writes down what it holds; "
                "`airgap serve --data` serves it to export from",
            )
        path = self._root / INDEX_FILE
        with storage_errors(path), path.open("rb") as file:
            raw = file.read(MAX_INDEX + 1)
        if len(raw) > MAX_INDEX:
            raise InvalidContentError(f"{path} has more than {MAX_INDEX} bytes", origin="source")
        listed: Any = parse_object(raw, what=str(path)).get("manifests")
        if not isinstance(listed, list):
            raise InvalidContentError(f"{path} lists no manifests", origin="source")
        return tuple(Descriptor.from_json(entry) for entry in listed)

    def _walk(self, root: Descriptor) -> None:
        waiting = [root]
        while waiting:
            entry = waiting.pop()
            if entry.digest in self.documents:
                continue
            document = self._read(entry)
            self.documents[entry.digest] = document
            for child in document.children():
                if mediatype.is_manifest(child.media_type):
                    waiting.append(child)
                else:
                    self._blob(child, entry.digest)
            for blob in document.blobs():
                self._blob(blob, entry.digest)

    def _blob(self, blob: Descriptor, parent: Digest) -> None:
        if self.has_blob(blob) or not mediatype.is_non_distributable(blob.media_type):
            self._blobs.setdefault(blob.digest, blob.size)
            return
        known = self._omitted.get(blob.digest)
        parents = tuple(sorted({*(known.parents if known else ()), parent}))
        self._omitted[blob.digest] = Omission(blob, "non-distributable", parents)

    def _read(self, entry: Descriptor) -> Document:
        size = min(entry.size, MAX_MANIFEST_SIZE + 1)
        self._held_bytes += size
        if size > MAX_MANIFEST_SIZE or self._held_bytes > MAX_DOCUMENTS:
            raise InvalidContentError(
                f"{self.name}: the manifests up to {entry.digest} are too large", origin="source"
            )
        verifier = Verifier(entry.digest, entry.size, origin="source")
        parts = []
        with self.open(entry) as chunks:
            for chunk in chunks:
                verifier.update(chunk)
                parts.append(chunk)
        verifier.finish()
        algorithm = entry.digest.algorithm
        document = parse_manifest(b"".join(parts), entry.media_type, algorithm=algorithm)
        if document.descriptor.digest != entry.digest:
            raise DigestMismatchError(
                f"{self.name}: {entry.digest} is something else",
                expected=str(entry.digest),
                origin="source",
            )
        return document

    def _catalog(self, entries: tuple[Descriptor, ...]) -> Catalog:
        images: dict[Reference, CatalogImage] = {}
        referrers: set[CatalogReferrer] = set()
        repositories: set[str] = set()
        nameless: list[Document] = []
        for entry in entries:
            reference = self._reference(entry)
            document = self.documents[entry.digest]
            if reference is None:
                nameless.append(document)
                continue
            repositories.add(reference.name)
            signed = cosign_subject(reference.tag or "")
            if signed is not None and signed[0] in self.documents:
                referrers.add(
                    CatalogReferrer(reference.name, signed[0], entry.digest, reference.tag or "")
                )
            else:
                images[reference] = CatalogImage(reference, entry.digest)
        for document in nameless:
            if document.subject is not None:
                subject, own = document.subject.digest, document.descriptor.digest
                referrers |= {CatalogReferrer(name, subject, own) for name in repositories}
        return Catalog.build(
            images=images.values(),
            referrers=referrers,
            manifests=[document.descriptor for document in self.documents.values()],
            blobs=[item for item in self._blobs.items() if item[0] not in self.documents],
            omitted=self._omitted.values(),
        )

    def _reference(self, entry: Descriptor) -> Reference | None:
        """The full name of an entry; None for one without a name that refers to another.

        Raises:
            SettingsError: There is no name, or it is not a full one.
        """
        annotations: Mapping[str, str] = entry.annotations
        names = [annotations[key] for key in (CONTAINERD_NAME, REF_NAME) if key in annotations]
        for text in names:
            try:
                reference = Reference.parse(text)
            except InvalidReferenceError:
                continue
            if str(reference) == text and (reference.tag is None or reference.digest is None):
                return reference
        if not names and self.documents[entry.digest].subject is not None:
            return None
        shown = f"the name {names[-1][:200]!r}" if names else "no name"
        raise SettingsError(
            f"{self.name}: {entry.digest} has {shown}, which is not a full reference"
            if names
            else f"{self.name}: {entry.digest} has {shown}",
            hint=_FULL_NAMES,
        )


def _chunks(path: Path, fd: int, offset: int) -> Iterator[bytes]:
    while True:
        with storage_errors(path):
            chunk = os.pread(fd, CHUNK_SIZE, offset)
        if not chunk:
            return
        offset += len(chunk)
        yield chunk
