"""Small real bundles made in memory, and ways to damage them."""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from airgap.bundle import members
from airgap.bundle.catalog import Catalog, CatalogImage, CatalogReferrer, Omission
from airgap.bundle.held import HeldBlob
from airgap.bundle.layout import Layout, plan_layout
from airgap.bundle.reader import open_bundle
from airgap.bundle.stream import BundleStream
from airgap.bundle.volumes import VolumePlan, plan_one_file
from airgap.content.verify import verified
from airgap.errors import AirgapError
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest, Verifier
from airgap.oci.manifest import Document, parse_manifest
from airgap.oci.reference import Reference
from airgap.record.bases import Base
from airgap.run import Run
from tests.support import builders
from tests.support.builders import Content

SIGNATURES = b'{"formatVersion":1,"signatures":[{"key":"sha256:00","signature":"AAAA"}]}'
"""A document of signatures as far as a bundle looks at it."""


@dataclass(frozen=True)
class MadeBundle:
    """A bundle in memory: its parts, and the bytes of the whole file."""

    layout: Layout
    documents: dict[Digest, Document]
    contents: dict[Digest, bytes]

    @property
    def catalog(self) -> Catalog:
        return self.layout.catalog

    @cached_property
    def plan(self) -> VolumePlan:
        """The bundle as one file."""
        return plan_one_file(self.layout, self.documents)

    @cached_property
    def data(self) -> bytes:
        """The whole file."""
        file = bytearray(self.layout.size)
        file[: len(self.layout.front)] = self.layout.front
        for offset, frame in self.layout.frames():
            file[offset : offset + len(frame)] = frame
        for extent in self.layout.blobs:
            file[extent.offset : extent.end] = self.contents[extent.digest]
        return bytes(file)

    def write(self, folder: Path, data: bytes | None = None) -> Path:
        """Write the file, or what became of it."""
        path = folder / "bundle.tar"
        path.write_bytes(self.data if data is None else data)
        return path

    def descriptor(self, digest: Digest) -> Descriptor:
        """What describes a blob of it."""
        return Descriptor(mediatype.OCTET_STREAM, digest, len(self.contents[digest]))


@dataclass
class BundleBuilder:
    """Collects contents and makes a bundle of them."""

    contents: list[Content] = field(default_factory=list)
    images: list[CatalogImage] = field(default_factory=list)
    referrers: list[CatalogReferrer] = field(default_factory=list)
    omitted: list[Omission] = field(default_factory=list)

    def add(self, content: Content, *names: str) -> Content:
        """Put a content in, under names."""
        self.contents.append(content)
        load = content.children[0].digest if content.children else None
        self.images += [CatalogImage(Reference.parse(n), content.digest, load) for n in names]
        return content

    def refer(self, repository: str, subject: Content, content: Content, tag: str = "") -> None:
        """Put a content in that refers to another."""
        self.contents.append(content)
        self.referrers.append(CatalogReferrer(repository, subject.digest, content.digest, tag))

    def leave_out(self, descriptor: Descriptor, reason: Any, parent: Content) -> None:
        """List what is not put in."""
        self.omitted.append(Omission(descriptor, reason, (parent.digest,)))

    def build(self) -> MadeBundle:
        parts = [part for content in self.contents for part in content.walk()]
        documents = {part.digest: part.document for part in parts}
        configs = {d.config.digest for d in documents.values() if getattr(d, "config", None)}
        blobs = {b.descriptor.digest: b.data for part in parts for b in part.blobs}
        contents = {d: blobs[d] for d in sorted(blobs, key=lambda d: (d not in configs, d))}
        return assemble(
            documents,
            contents,
            images=self.images,
            referrers=self.referrers,
            omitted=self.omitted,
        )


def assemble(
    documents: dict[Digest, Document],
    contents: dict[Digest, bytes],
    *,
    images: Iterable[CatalogImage],
    referrers: Iterable[CatalogReferrer] = (),
    omitted: Iterable[Omission] = (),
    absent: Iterable[tuple[Digest, int]] = (),
) -> MadeBundle:
    """A bundle of exactly these parts, whether they fit each other or not.

    What is absent is in the catalog, and the bytes of the file are not for the making here.
    """
    catalog = Catalog.build(
        images=images,
        referrers=referrers,
        manifests=[document.descriptor for document in documents.values()],
        blobs=[(digest, len(data)) for digest, data in contents.items()] + list(absent),
        omitted=omitted,
    )
    return MadeBundle(plan_layout(catalog, documents), documents, contents)


def parse(raw: bytes, media_type: str = mediatype.OCI_MANIFEST) -> Document:
    """Any manifest."""
    return parse_manifest(raw, media_type)


def named(name: str, document: Document) -> CatalogImage:
    """A name for a manifest."""
    return CatalogImage(Reference.parse(name), document.descriptor.digest)


def make_bundle(*, layer_size: int = 700) -> MadeBundle:
    """A bundle with some of everything.

    Two names of one index of two platforms, of which arm64 is left out, with an attestation; an
    image that shares a layer with it; an image by digest whose one layer is not distributable
    and left out; a chart; an SBOM of the amd64 image, a signature of the SBOM, a cosign tag that
    speaks of the index.
    """
    bundle = BundleBuilder()
    shared = builders.layer(layer_size)
    amd64 = builders.image(layers=(shared, 300), seed=1)
    arm64 = builders.image(platform=builders.ARM64, seed=2)
    multi = builders.index([amd64, builders.attestation(amd64)], without=[arm64])
    app = "example.com/team/app"
    bundle.add(multi, f"{app}:1.4", f"{app}:latest")
    bundle.leave_out(arm64.entry, "platform", multi)
    bundle.add(builders.image(layers=(shared,), seed=3), "example.com/tool:2")
    foreign = builders.foreign_layer("https://example.com/windows")
    windows = builders.image(layers=(foreign,), platform=builders.WINDOWS)
    bundle.add(windows, f"example.com/win@{windows.digest}")
    bundle.leave_out(foreign.descriptor, "non-distributable", windows)
    bundle.add(builders.chart(), "example.com/charts/demo:1.2.3")
    sbom = builders.sbom(amd64.descriptor)
    bundle.refer(app, amd64, sbom)
    signature = builders.artifact(
        "application/vnd.cncf.notary.signature",
        [builders.blob(b"signed")],
        subject=sbom.descriptor,
    )
    bundle.refer(app, sbom, signature)
    tag, cosign = builders.cosign_signature(multi.descriptor)
    bundle.refer(app, multi, cosign, tag)
    return bundle.build()


def tiny_bundle(
    *, algorithm: str = "sha256", layers: Iterable[bytes] = (b"a layer",)
) -> MadeBundle:
    """One image with a few bytes."""
    bundle = BundleBuilder()
    config = builders.blob(b'{"os":"linux","architecture":"amd64"}', mediatype.OCI_CONFIG)
    made = [builders.blob(data, mediatype.OCI_LAYER, algorithm) for data in layers]
    bundle.add(builders.manifest(config, made, algorithm=algorithm), "example.com/tiny:1")
    return bundle.build()


def refusal(folder: Path, data: bytes) -> AirgapError:
    """The error with which a file does not open: one line, a hint, nothing written."""
    path = folder / "bundle.tar"
    path.write_bytes(data)
    with pytest.raises(AirgapError) as caught:
        open_bundle(path).close()
    error = caught.value
    assert error.hint
    assert "\n" not in error.message
    assert error.message.isprintable()
    assert error.origin == "bundle"
    assert list(folder.iterdir()) == [path]
    return error


def unpack(data: bytes) -> dict[str, bytes]:
    """The members of a bundle, read by Python's own tarfile."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}


def pack(parts: Iterable[tuple[str, bytes]]) -> bytes:
    """A tar of members in the form that bundles have."""
    return b"".join(member(name, content) for name, content in parts) + members.END


def dumps(value: object) -> bytes:
    """Any JSON, in the form that airgap writes."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode(errors="surrogatepass")


def change_field(raw: bytes, number: int, value: object) -> bytes:
    """A document with one of its values, counted from the front, replaced by another."""
    document = json.loads(raw)
    places: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting:
        current = waiting.pop()
        keys = current.keys() if isinstance(current, dict) else range(len(current))
        places += [(current, key) for key in keys]
        waiting += [current[key] for key in keys if isinstance(current[key], dict | list)]
    holder, key = places[number % len(places)]
    holder[key] = value
    return dumps(document)


def flip(data: bytes, offset: int, bit: int = 0) -> bytes:
    """The bytes with one bit turned over."""
    return data[:offset] + bytes([data[offset] ^ (1 << bit)]) + data[offset + 1 :]


def replace(data: bytes, offset: int, new: bytes) -> bytes:
    """The bytes with others written over them."""
    return data[:offset] + new + data[offset + len(new) :]


def member(name: str, content: bytes = b"", *, kind: bytes = b"0") -> bytes:
    """A whole member, of any type."""
    head = members.header(name, len(content))
    if kind != b"0":
        head = reheader(head, {156: kind})
    return head + content + members.padding(len(content))


def reheader(block: bytes, changes: dict[int, bytes]) -> bytes:
    """A header block with fields changed and a checksum that fits again."""
    changed = bytearray(block)
    for offset, value in changes.items():
        changed[offset : offset + len(value)] = value
    changed[148:156] = b" " * 8
    changed[148:156] = b"%06o\0 " % sum(changed[:512])
    return bytes(changed)


def pull(data: bytes) -> dict[Digest, bytes]:
    """Take a bundle from a pipe as an import does: every blob verified, then the seal."""
    stream = BundleStream(io.BytesIO(data), run=Run())
    found = {}
    for blob in stream.blobs():
        verifier = Verifier(blob.digest, blob.size)
        found[blob.digest] = b"".join(verified(blob.chunks, verifier, offset=0))
    stream.finish()
    return found


def signed(made: MadeBundle, signatures: bytes = SIGNATURES) -> MadeBundle:
    """The same bundle with signatures in its front."""
    catalog = dataclasses.replace(made.catalog, signatures=signatures)
    return MadeBundle(plan_layout(catalog, made.documents), made.documents, made.contents)


INVENTORY = Base("inventory", Digest.of(b"an inventory"), "registry.internal:5000")
"""What a bundle may be planned against."""


def differential(
    made: MadeBundle,
    left: Iterable[Digest],
    *,
    base: Base = INVENTORY,
    repository: str = "team/app",
) -> MadeBundle:
    """The same images, with some of their blobs left to the receiver."""
    held = [HeldBlob(digest, len(made.contents[digest]), 0, repository) for digest in set(left)]
    return leaving(made, held, [base])


def leaving(made: MadeBundle, held: Sequence[HeldBlob], bases: Sequence[Base]) -> MadeBundle:
    """The same images, with these blobs left to what the bases say that the receiver has."""
    leave = {blob.digest for blob in held}
    whole = made.catalog
    catalog = Catalog.build(
        images=whole.images,
        referrers=whole.referrers,
        manifests=whole.manifests,
        blobs=[blob for blob in whole.blobs if blob[0] not in leave],
        omitted=whole.omitted,
        bases=bases,
        held=held,
    )
    contents = {digest: made.contents[digest] for digest, _ in catalog.blobs}
    return MadeBundle(plan_layout(catalog, made.documents), made.documents, contents)
