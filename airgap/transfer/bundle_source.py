"""Bundles and image layouts as the source of an export: nothing here contacts a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Protocol, Self

from airgap.bundle.catalog import Catalog, Omission
from airgap.bundle.closure import successors
from airgap.bundle.discovery import discover
from airgap.bundle.reader import open_bundle
from airgap.content.storage import storage_errors
from airgap.content.store import Chunks
from airgap.errors import (
    ConflictError,
    ContentNotFoundError,
    IntegrityError,
    SettingsError,
)
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.layout import INDEX_FILE, LAYOUT_FILE
from airgap.oci.manifest import Document
from airgap.oci.mediatype import OCTET_STREAM
from airgap.oci.reference import Reference
from airgap.record.bases import Base
from airgap.run import Run
from airgap.transfer.destination import glob_expression
from airgap.transfer.known import Claim, Witness
from airgap.transfer.layout_source import LayoutFolder
from airgap.transfer.resolution import FoundReferrer
from airgap.transfer.source_errors import say_source, saying_source

_COPY_AGAIN = "copy it again from where it is whole, or leave it out"


class Holding(Protocol):
    """One bundle or image layout: what it says it carries, and the bytes of it."""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        ...

    @property
    def catalog(self) -> Catalog:
        """What it carries."""
        ...

    @property
    def documents(self) -> Mapping[Digest, Document]:
        """Every manifest and index of it."""
        ...

    def has_blob(self, descriptor: Descriptor, /) -> bool:
        """Whether a blob lies in it."""
        ...

    def open(self, descriptor: Descriptor, /, *, offset: int = 0) -> AbstractContextManager[Chunks]:
        """Read a blob from an offset on."""
        ...

    def close(self) -> None:
        """Let go of its files."""
        ...


class Holdings:
    """Several bundles and layouts, looked at as one; a context manager that closes them.

    Args:
        paths: Bundles, folders with volumes of one, and image layouts.

    Raises:
        AirgapError: One of them cannot be read or is damaged; its origin is "source".
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._stack = ExitStack()
        self._all: list[Holding] = []
        try:
            for group in _together(dict.fromkeys(paths)):
                holding = open_holding(group)
                self._stack.callback(holding.close)
                self._all.append(holding)
        except BaseException:
            self._stack.close()
            raise
        self._documents: dict[Digest, Document] = {}
        for holding in reversed(self._all):
            self._documents.update(holding.documents)
        self.left_out = self._find_left_out()
        self._dead = self._find_dead_referrers()
        self._names: set[str] = set()
        self._tags: dict[tuple[str, str | None], dict[Digest, str]] = {}
        self._referrers: dict[tuple[str, Digest], set[FoundReferrer]] = {}
        for holding in self._all:
            self._index(holding)

    @property
    def catalogs(self) -> tuple[Catalog, ...]:
        """What each of them says that it carries."""
        return tuple(held.catalog for held in self._all)

    def references(self, only: Sequence[str] = ()) -> tuple[Reference, ...]:
        """The names of all images, or of those that a glob matches.

        Raises:
            SettingsError: A glob matches nothing.
        """
        names = dict.fromkeys(i.reference for held in self._all for i in held.catalog.images)
        if not only:
            return tuple(names)
        chosen: dict[Reference, None] = {}
        for pattern in only:
            expression = glob_expression(pattern)
            found = [name for name in names if expression.fullmatch(name.tagged)]
            if not found:
                raise SettingsError(
                    f"no image of the given --from matches --only {pattern!r}",
                    hint="`airgap inspect bundle` lists the names; ** matches any number of parts",
                )
            chosen.update(dict.fromkeys(found))
        return tuple(chosen)

    def loads(self) -> dict[Reference, Digest]:
        """What engines without indexes get, where all that hold an image agree."""
        found: dict[Reference, set[Digest | None]] = {}
        for image in (image for held in self._all for image in held.catalog.images):
            found.setdefault(image.reference, set()).add(image.load)
        return {
            name: load
            for name, loads in found.items()
            if len(loads) == 1 and (load := next(iter(loads))) is not None
        }

    def held(self) -> tuple[Witness, ...]:
        """What they left to the receiver and none of them has, by who says that it is there."""
        claims: dict[Base, dict[Digest, Claim]] = {}
        for catalog in (holding.catalog for holding in self._all):
            for blob in catalog.held:
                if self.holder(Descriptor(OCTET_STREAM, blob.digest, blob.size)) is None:
                    found = claims.setdefault(catalog.bases[blob.base], {})
                    known = found.get(blob.digest, Claim(blob.size))
                    names = tuple(sorted({*known.repositories, blob.repository}))
                    found[blob.digest] = Claim(known.size, names)
        return tuple(Witness(base, found.get, is_carried=True) for base, found in claims.items())

    def find(self, name: str, locator: str) -> Document:
        """Get the manifest of a tag or digest of `registry/repository`.

        Raises:
            ContentNotFoundError: None of the sources has it.
            ConflictError: A tag names one thing here and another there.
        """
        if name in self._names and ":" in locator:  # no tag has a colon
            document = self._documents.get(Digest.parse(locator))
            if document is not None:
                return document
        found = self._tags.get((name, locator), {})
        if len(found) > 1:
            (first, one), (second, other) = list(found.items())[:2]
            raise ConflictError(
                f"{name}:{locator} is {first} in {one} and {second} in {other}",
                hint="leave out one of them, or pin the image: NAME:TAG@DIGEST",
                origin="source",
            )
        for digest in found:
            return self._documents[digest]
        mark = "@" if ":" in locator else ":"
        raise ContentNotFoundError(
            f"{name}{mark}{locator} is not in {self._described()}",
            hint="`airgap inspect bundle` lists the full names that a bundle has",
            origin="source",
        )

    def document(self, digest: Digest) -> Document | None:
        """A manifest or index that one of them has."""
        return self._documents.get(digest)

    def holder(self, descriptor: Descriptor) -> Holding | None:
        """The first of them that has a blob."""
        return next((held for held in self._all if held.has_blob(descriptor)), None)

    def referrers(self, name: str, subject: Digest) -> tuple[FoundReferrer, ...]:
        """What refers to a digest in a repository, and what a source says it lacks of that."""
        found = self._referrers.get((name, subject), set())
        return tuple(sorted({*found, *self._dead.get(subject, ())}))

    def close(self) -> None:
        """Close all of them."""
        self._stack.close()

    def __iter__(self) -> Iterator[Holding]:
        return iter(self._all)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _index(self, holding: Holding) -> None:
        for image in holding.catalog.images:
            name, tag = image.reference.name, image.reference.tag
            self._names.add(name)
            self._tags.setdefault((name, tag), {}).setdefault(image.digest, holding.name)
        for r in holding.catalog.referrers:
            found = FoundReferrer(self._documents[r.digest].descriptor, r.digest, r.tag)
            self._referrers.setdefault((r.repository, r.subject), set()).add(found)

    def _find_dead_referrers(self) -> dict[Digest, list[FoundReferrer]]:
        """What was listed as referring to something and could not be had: nothing names it."""
        dead: dict[Digest, list[FoundReferrer]] = {}
        named: dict[Digest, set[Digest]] = {}
        for digest, omission in self.left_out.items():
            for parent in self._documents.keys() & set(omission.parents):
                if parent not in named:
                    named[parent] = {d.digest for d in successors(self._documents[parent])}
                if digest not in named[parent]:
                    dead.setdefault(parent, []).append(FoundReferrer(omission.descriptor, digest))
        return dead

    def _described(self) -> str:
        names = [held.name for held in self._all]
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "")

    def _find_left_out(self) -> dict[Digest, Omission]:
        """What all of them together lack; each parent that is named by any of them counts."""
        merged: dict[Digest, Omission] = {}
        for digest, omission in (e for h in self._all for e in h.catalog.omissions().items()):
            if digest in self._documents or self.holder(omission.descriptor) is not None:
                continue
            known = merged.setdefault(digest, omission)
            parents = tuple(sorted({*known.parents, *omission.parents}))
            merged[digest] = Omission(known.descriptor, known.reason, parents)
        return merged


class BundleSources:
    """The repositories of bundles and layouts, for one transfer.

    Args:
        holdings: The bundles and layouts; they stay open.
        jobs: How much is read at a time.
        run: The run of the whole transfer.

    Attributes:
        width: How many threads they are worth.
        scope: Ends the waits of this transfer; cancelled when the transfer fails.
        left_out: What they left out on purpose themselves.
        loads: What they say that engines without indexes get.
        held: What they left to the receiver themselves.
    """

    def __init__(self, holdings: Holdings, *, jobs: int, run: Run) -> None:
        self._holdings = holdings
        self.width = jobs
        self.scope = run.scoped()
        self.left_out: Mapping[Digest, Omission] = holdings.left_out
        self.loads: Mapping[Reference, Digest] = holdings.loads()
        self.held: tuple[Witness, ...] = holdings.held()

    def open(self, name: str) -> BundleRepository:
        """Open `registry/repository`."""
        return BundleRepository(self._holdings, name)

    def referrers(
        self, name: str, digest: Digest
    ) -> tuple[tuple[FoundReferrer, ...], tuple[Document, ...]]:
        """Find what refers to a digest; its manifests are in memory already."""
        return self._holdings.referrers(name, digest), ()

    def open_foreign(
        self, descriptor: Descriptor, *, offset: int = 0
    ) -> AbstractContextManager[Chunks]:
        """Refuse to follow the urls of a layer: what is not held here is not there.

        Raises:
            ContentNotFoundError: Always.
        """
        del offset
        raise ContentNotFoundError(f"no source has {descriptor.digest}", origin="source")

    def accuse(
        self, error: IntegrityError, descriptor: Descriptor, repositories: tuple[str, ...]
    ) -> None:
        """Let an error say which bundle gave wrong bytes, and what to do."""
        del repositories
        held = self._holdings.holder(descriptor)
        if held is not None:
            say_source(error, held.name)
        error.hint = _COPY_AGAIN


class BundleRepository:
    """One repository of all the bundles and layouts.

    What is asked for by digest may lie in any of them: equal digests are equal bytes.
    """

    def __init__(self, holdings: Holdings, name: str) -> None:
        self._holdings = holdings
        self.name = name

    def resolve(self, reference: str, /) -> Descriptor | None:
        """What a tag or digest stands for; None where none of the sources has it.

        Raises:
            ConflictError: A tag names one thing here and another there.
        """
        try:
            return self._holdings.find(self.name, reference).descriptor
        except ContentNotFoundError:
            return None

    def manifest(self, reference: str, /, *, media_type: str = "") -> Document:
        """Get a manifest or index by tag or digest; its type stands in the catalog.

        Raises:
            ContentNotFoundError: None of the sources has it.
            ConflictError: A tag names one thing here and another there.
        """
        del media_type
        return self._holdings.find(self.name, reference)

    def has_blob(self, descriptor: Descriptor, /) -> bool:
        """Whether one of them has a blob."""
        return self._holdings.holder(descriptor) is not None

    @contextmanager
    def open(self, descriptor: Descriptor, /, *, offset: int = 0) -> Iterator[Chunks]:
        """Read a blob from an offset on.

        Raises:
            ContentNotFoundError: None of the sources has it.
            AirgapError: It could not be read.
        """
        held = self._holdings.holder(descriptor)
        if held is None:
            raise ContentNotFoundError(
                f"{self.name} lacks {descriptor.digest} in every source", origin="source"
            )
        with ExitStack() as stack:
            with saying_source(held.name):
                chunks = stack.enter_context(held.open(descriptor, offset=offset))
            yield _read(chunks, held.name)


def _read(chunks: Chunks, name: str) -> Iterator[bytes]:
    with saying_source(name):
        yield from chunks


def open_holding(paths: Sequence[Path], *, must_be_whole: bool = True) -> Holding:
    """Open an image layout, or a bundle by its files or the folders that hold them.

    Raises:
        AirgapError: It cannot be read or is damaged; its origin is "source".
    """
    with saying_source(str(paths[0])):
        if len(paths) == 1 and _is_layout(paths[0]):
            return LayoutFolder(paths[0])
        return open_bundle(paths[0] if len(paths) == 1 else paths, must_be_whole=must_be_whole)


def _together(paths: Iterable[Path]) -> Iterator[list[Path]]:
    """Each layout and each bundle: volumes that are named one by one belong together."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            yield [path]
        else:
            files.append(path)
    if len(files) < 2:
        yield from ([file] for file in files)
        return
    with saying_source(", ".join(map(str, files[:3]))):
        found = discover(files)
    yield from (list(bundle.files.values()) for bundle in found)


def _is_layout(path: Path) -> bool:
    with storage_errors(path):
        return (path / LAYOUT_FILE).is_file() and (path / INDEX_FILE).is_file()
