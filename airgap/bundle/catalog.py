"""The catalog: what a bundle carries, what refers to what, and what is left out and why.

It holds no offset, volume, tool version or time. The sha256 of its canonical bytes is the bundle
id, whatever file or medium the content lies on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args

from airgap.bundle.held import (
    FEATURE,
    HeldBlob,
    bases_to_json,
    check_held,
    ordered,
    parse_held,
)
from airgap.errors import BundleFormatError, DigestMismatchError, InvalidContentError, SettingsError
from airgap.oci.descriptor import Descriptor, content_from_json
from airgap.oci.digest import Digest
from airgap.oci.document import canonical_bytes, check_values, parse_object
from airgap.oci.reference import Reference, is_registry, is_repository
from airgap.oci.referrers import cosign_tags
from airgap.record.bases import Base, parse_base
from airgap.record.format_version import check_version

FORMAT_VERSION = 1
MEDIA_TYPE = "application/vnd.airgap.catalog.v1+json"
MAX_SIZE = 64 * 1024 * 1024
"""The catalog is held in memory; this is enough for some hundred thousand manifests and blobs."""

OmissionReason = Literal["platform", "non-distributable", "missing-at-source"]
_REASONS: tuple[OmissionReason, ...] = get_args(OmissionReason)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, order=True)
class CatalogImage:
    """An image that somebody asked for by name.

    Attributes:
        reference: Its full source name: with a tag, or by digest alone.
        digest: The manifest or index that the name stood for.
        load: The manifest that engines without indexes get; None where they can't run it.
    """

    reference: Reference
    digest: Digest
    load: Digest | None = None


@dataclass(frozen=True, slots=True, order=True)
class CatalogReferrer:
    """A manifest that travels because it refers to another one.

    Attributes:
        repository: Registry and repository in which it was found.
        subject: What it refers to.
        digest: The referring manifest.
        tag: The tag that carries it where tags do so (cosign's), else empty.
    """

    repository: str
    subject: Digest
    digest: Digest
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Omission:
    """Content that is not in the bundle, on purpose.

    Attributes:
        descriptor: What is left out.
        reason: Why.
        parents: The manifests that name it.
    """

    descriptor: Descriptor
    reason: OmissionReason
    parents: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class Catalog:
    """What a bundle carries.

    Attributes:
        images: Sorted by name.
        referrers: Sorted.
        manifests: Every manifest and index, sorted by digest.
        blobs: Digest and size of everything else, in the order in which a bundle holds them:
            configs, then layers.
        omitted: What is left out, sorted by digest.
        raw: The canonical bytes.
        bases: What says that the receiver has what is held, sorted.
        held: Blobs that are left to the receiver, sorted by digest.
        signatures: The document of signatures that stands behind the catalog in the front of
            every volume; empty for none. It is no part of the bundle id.
    """

    images: tuple[CatalogImage, ...]
    referrers: tuple[CatalogReferrer, ...]
    manifests: tuple[Descriptor, ...]
    blobs: tuple[tuple[Digest, int], ...]
    omitted: tuple[Omission, ...]
    raw: bytes = field(repr=False)
    bases: tuple[Base, ...] = ()
    held: tuple[HeldBlob, ...] = ()
    signatures: bytes = field(default=b"", repr=False)

    @property
    def id(self) -> Digest:
        """The bundle id."""
        return Digest.of(self.raw)

    @classmethod
    def build(
        cls,
        *,
        images: Iterable[CatalogImage],
        referrers: Iterable[CatalogReferrer],
        manifests: Iterable[Descriptor],
        blobs: Iterable[tuple[Digest, int]],
        omitted: Iterable[Omission],
        bases: Iterable[Base] = (),
        held: Iterable[HeldBlob] = (),
    ) -> Catalog:
        """Put a catalog together; the order of all but blobs is made canonical here."""
        parts = (
            tuple(sorted(set(images), key=lambda i: (i.reference.tagged, i.digest))),
            tuple(sorted(set(referrers))),
            tuple(sorted(manifests, key=lambda m: m.digest)),
            tuple(blobs),
            tuple(sorted(omitted, key=lambda o: (o.descriptor.digest, o.reason))),
        )
        known, left = ordered(bases, held)
        value = _to_json(*parts) | bases_to_json(known, left)
        if left:
            value["requires"] = [FEATURE]
        return cls(*parts, canonical_bytes(value), known, left)

    @classmethod
    def parse(cls, raw: bytes) -> Catalog:
        """Read a catalog that came from a bundle.

        Raises:
            BundleFormatError: It is damaged, contradicts itself, or needs a newer airgap.
        """
        check_size(raw)
        try:
            value = parse_object(raw, what="the catalog")
            check_version(value, what="catalog", known=(FEATURE,), newest=FORMAT_VERSION)
            catalog = cls(
                _each(value, "images", _image),
                _each(value, "referrers", _referrer),
                _each(value, "manifests", _manifest),
                _each(value, "blobs", content_from_json),
                _each(value, "omitted", _omission),
                raw,
                _each(value, "bases", parse_base, is_required=False),
                _each(value, "held", parse_held, is_required=False),
            )
            check_held(catalog.bases, catalog.held)
            _check_requires(value, catalog)
        except (InvalidContentError, SettingsError) as error:
            raise BundleFormatError(f"the catalog is damaged: {error.message}") from error
        if canonical_bytes(value) != raw:
            raise BundleFormatError("the catalog is not in its canonical form")
        _check_consistency(catalog)
        return catalog

    def expect(self, expected: Digest | None) -> None:
        """Refuse this bundle where another one is expected; None expects nothing.

        Raises:
            DigestMismatchError: It is another one.
        """
        if expected is not None and self.id != expected:
            raise DigestMismatchError(
                f"this is the bundle {self.id}, and {expected} is expected",
                expected=str(expected),
                actual=str(self.id),
                hint="compare the id with the one that `airgap export` printed",
                origin="bundle",
            )

    def sizes(self) -> dict[Digest, int]:
        """The size of every manifest and blob that travels."""
        return {m.digest: m.size for m in self.manifests} | dict(self.blobs)

    def held_sizes(self) -> dict[Digest, int]:
        """The size of every blob that is left to the receiver."""
        return {blob.digest: blob.size for blob in self.held}

    @property
    def held_size(self) -> int:
        """The bytes of all blobs that are left to the receiver."""
        return sum(blob.size for blob in self.held)

    def omissions(self) -> dict[Digest, Omission]:
        """What is left out, by digest."""
        return {omission.descriptor.digest: omission for omission in self.omitted}


def check_size(raw: bytes) -> None:
    """Refuse a catalog that would take too much memory.

    Raises:
        BundleFormatError: It is too large, or has too many values.
    """
    if len(raw) > MAX_SIZE:
        raise BundleFormatError(f"the catalog has {len(raw)} bytes; more than {MAX_SIZE}")
    try:
        check_values(raw, what="the catalog")
    except InvalidContentError as error:
        raise BundleFormatError(error.message) from error


def _to_json(
    images: tuple[CatalogImage, ...],
    referrers: tuple[CatalogReferrer, ...],
    manifests: tuple[Descriptor, ...],
    blobs: tuple[tuple[Digest, int], ...],
    omitted: tuple[Omission, ...],
) -> dict[str, Any]:
    return {
        "formatVersion": FORMAT_VERSION,
        "mediaType": MEDIA_TYPE,
        "requires": [],
        "images": [
            {"name": i.reference.tagged, "digest": str(i.digest)}
            | ({"load": str(i.load)} if i.load else {})
            for i in images
        ],
        "referrers": [
            {"repository": r.repository, "subject": str(r.subject), "digest": str(r.digest)}
            | ({"tag": r.tag} if r.tag else {})
            for r in referrers
        ],
        "manifests": [manifest.to_json() for manifest in manifests],
        "blobs": [{"digest": str(digest), "size": size} for digest, size in blobs],
        "omitted": [
            o.descriptor.to_json()
            | {"reason": o.reason, "parents": [str(p) for p in sorted(o.parents)]}
            for o in omitted
        ],
    }


def _each(
    value: Mapping[str, Any],
    key: str,
    read: Callable[[Mapping[str, Any]], T],
    *,
    is_required: bool = True,
) -> tuple[T, ...]:
    entries = value.get(key, None if is_required else [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidContentError(f"{key} must be a list of objects")
    return tuple(read(entry) for entry in entries)


def _image(entry: Mapping[str, Any]) -> CatalogImage:
    digest, load = Digest.parse(entry.get("digest")), entry.get("load")
    reference = Reference.parse_full(entry.get("name"), digest)
    return CatalogImage(reference, digest, None if load is None else Digest.parse(load))


def _referrer(entry: Mapping[str, Any]) -> CatalogReferrer:
    repository, tag = entry.get("repository"), entry.get("tag", "")
    if not isinstance(repository, str) or not isinstance(tag, str):
        raise InvalidContentError("a referrer must have a repository")
    registry, _, path = repository.partition("/")
    if not is_registry(registry) or not is_repository(path):
        raise InvalidContentError(f"{repository[:200]!r} is not a repository")
    subject, digest = Digest.parse(entry.get("subject")), Digest.parse(entry.get("digest"))
    if tag and tag not in cosign_tags(subject):
        # With any tag, something could be put under an image's name without being one.
        raise InvalidContentError(f"{tag[:200]!r} is no tag of what refers to {subject}")
    return CatalogReferrer(repository, subject, digest, tag)


def _manifest(entry: Mapping[str, Any]) -> Descriptor:
    return Descriptor.from_json(entry)


def _omission(entry: Mapping[str, Any]) -> Omission:
    reason = next((r for r in _REASONS if r == entry.get("reason")), None)
    parents = entry.get("parents")
    if reason is None or not isinstance(parents, list):
        raise InvalidContentError(
            f"{str(entry.get('reason'))[:60]!r} is no reason to leave content out"
        )
    return Omission(
        Descriptor.from_json(entry), reason, tuple(Digest.parse(parent) for parent in parents)
    )


def _check_requires(value: Mapping[str, Any], catalog: Catalog) -> None:
    """See that readers which know nothing of held blobs refuse a catalog that has some.

    They would take the bundle for one that lacks them by mistake, or for a whole one.
    """
    if value.get("requires", []) != ([FEATURE] if catalog.held else []):
        raise InvalidContentError(
            f"it must require {FEATURE} where blobs are left to the receiver, and else nothing"
        )


def _check_consistency(catalog: Catalog) -> None:
    manifests = {m.digest for m in catalog.manifests}
    blobs = {digest for digest, _ in catalog.blobs}
    omitted = {o.descriptor.digest for o in catalog.omitted}
    if len(manifests) != len(catalog.manifests) or len(blobs) != len(catalog.blobs):
        raise BundleFormatError("the catalog names content twice")
    held = {h.digest for h in catalog.held}
    travelling = manifests | blobs
    if manifests & blobs or travelling & omitted or held & (travelling | omitted):
        raise BundleFormatError("the catalog contradicts itself about what kind content is")
    names = [image.reference.tagged for image in catalog.images]
    if len(set(names)) != len(names):
        raise BundleFormatError("the catalog names an image twice")
    for digest in [i.digest for i in catalog.images] + [r.digest for r in catalog.referrers]:
        if digest not in manifests:
            raise BundleFormatError(f"the catalog lacks the manifest {digest}")
    for image in catalog.images:
        if image.load is not None and image.load not in manifests:
            raise BundleFormatError(f"the catalog lacks the manifest {image.load}")
