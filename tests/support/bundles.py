"""Small real bundles made in memory, and ways to damage them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from airgap.bundle import members
from airgap.bundle.catalog import Catalog, CatalogImage, CatalogReferrer, Omission
from airgap.bundle.layout import Layout, plan_layout
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document, Index, parse_manifest
from airgap.oci.platform import Platform
from airgap.oci.reference import Reference

SPDX = "application/spdx+json"
COSIGN = "application/vnd.dev.cosign.simplesigning.v1+json"
CHART = "application/vnd.cncf.helm.config.v1+json"


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
    def data(self) -> bytes:
        file = bytearray(self.layout.size)
        file[: len(self.layout.front)] = self.layout.front
        for offset, frame in self.layout.frames():
            file[offset : offset + len(frame)] = frame
        for extent in self.layout.blobs:
            file[extent.offset : extent.end] = self.contents[extent.digest]
        return bytes(file)

    def descriptor(self, digest: Digest) -> Descriptor:
        return Descriptor(mediatype.OCTET_STREAM, digest, self.catalog.sizes()[digest])


@dataclass
class BundleBuilder:
    """Collects manifests and blobs and makes a bundle of them."""

    documents: dict[Digest, Document] = field(default_factory=dict)
    configs: dict[Digest, bytes] = field(default_factory=dict)
    layers: dict[Digest, bytes] = field(default_factory=dict)
    images: list[CatalogImage] = field(default_factory=list)
    referrers: list[CatalogReferrer] = field(default_factory=list)
    omitted: list[Omission] = field(default_factory=list)

    def blob(self, data: bytes, media_type: str, *, config: bool = False) -> Descriptor:
        descriptor = Descriptor.of(data, media_type)
        if config:
            self.layers.pop(descriptor.digest, None)
            self.configs[descriptor.digest] = data
        elif descriptor.digest not in self.configs:
            self.layers[descriptor.digest] = data
        return descriptor

    def document(
        self, value: dict[str, Any], media_type: str, algorithm: str = "sha256"
    ) -> Document:
        document = parse_manifest(json.dumps(value).encode(), media_type, algorithm=algorithm)
        self.documents[document.descriptor.digest] = document
        return document

    def image(
        self,
        config: bytes,
        layers: Iterable[bytes] | Iterable[Descriptor],
        *,
        config_type: str = mediatype.OCI_CONFIG,
        layer_type: str = mediatype.OCI_LAYER_GZIP,
        subject: Document | None = None,
        artifact_type: str = "",
        algorithm: str = "sha256",
    ) -> Document:
        described = [
            layer if isinstance(layer, Descriptor) else self.blob(layer, layer_type)
            for layer in layers
        ]
        value: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": mediatype.OCI_MANIFEST,
            "config": self.blob(config, config_type, config=True).to_json(),
            "layers": [layer.to_json() for layer in described],
        }
        if subject is not None:
            value["subject"] = subject.descriptor.to_json()
        if artifact_type:
            value["artifactType"] = artifact_type
        return self.document(value, mediatype.OCI_MANIFEST, algorithm)

    def runnable(self, platform: str, layers: Iterable[bytes]) -> Document:
        os, architecture = platform.split("/")
        config = json.dumps({"os": os, "architecture": architecture, "rootfs": {}}).encode()
        return self.image(config, layers)

    def index(self, entries: Iterable[Descriptor]) -> Document:
        value = {
            "schemaVersion": 2,
            "mediaType": mediatype.OCI_INDEX,
            "manifests": [entry.to_json() for entry in entries],
        }
        return self.document(value, mediatype.OCI_INDEX)

    def name(self, text: str, document: Document) -> None:
        load = None
        if isinstance(document, Index):
            held = [m.digest for m in document.manifests if m.digest in self.documents]
            load = held[0] if held else None
        self.images.append(CatalogImage(Reference.parse(text), document.descriptor.digest, load))

    def refer(self, repository: str, subject: Document, document: Document, tag: str = "") -> None:
        self.referrers.append(
            CatalogReferrer(repository, subject.descriptor.digest, document.descriptor.digest, tag)
        )

    def leave_out(self, descriptor: Descriptor, reason: Any, parent: Document) -> None:
        self.omitted.append(Omission(descriptor, reason, (parent.descriptor.digest,)))

    def build(self) -> MadeBundle:
        contents = self.configs | self.layers
        catalog = Catalog.build(
            images=self.images,
            referrers=self.referrers,
            manifests=[document.descriptor for document in self.documents.values()],
            blobs=[(digest, len(data)) for digest, data in contents.items()],
            omitted=self.omitted,
        )
        return MadeBundle(plan_layout(catalog, self.documents), self.documents, contents)


def entry(document: Document, platform: str) -> Descriptor:
    """An index's entry for a manifest."""
    own = document.descriptor
    return Descriptor(own.media_type, own.digest, own.size, Platform.parse(platform))


def make_bundle(*, layer_size: int = 700) -> MadeBundle:
    """A bundle with some of everything.

    Two names share a layer; one is an index of two platforms of which arm64 is left out, with an
    attestation; an SBOM refers to the amd64 manifest and a signature to the SBOM; a cosign tag
    speaks of the index; a chart; a layer that is not distributable is left out.
    """
    builder = BundleBuilder()
    shared = bytes(range(256)) * (layer_size // 256 + 1)
    amd64 = builder.runnable("linux/amd64", [shared[:layer_size], b"only amd64"])
    arm64 = Descriptor.of(b"the manifest of arm64", mediatype.OCI_MANIFEST)
    arm64 = Descriptor(arm64.media_type, arm64.digest, arm64.size, Platform.parse("linux/arm64"))
    attestation = builder.image(b"{}", [b"in-toto"], layer_type="application/vnd.in-toto+json")
    index = builder.index(
        [entry(amd64, "linux/amd64"), arm64, entry(attestation, "unknown/unknown")]
    )
    builder.leave_out(arm64, "platform", index)
    foreign = Descriptor(
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        Digest.of(b"windows"),
        7,
        urls=("https://example.com/windows",),
    )
    tool = builder.image(b'{"os":"linux","architecture":"s390x"}', [shared[:layer_size]])
    windows = builder.image(b'{"os":"windows","architecture":"amd64"}', [foreign])
    builder.leave_out(foreign, "non-distributable", windows)
    chart = builder.image(b"{}chart", [b"chart"], config_type=CHART, layer_type="application/tar")
    sbom = builder.image(
        b"{}", [b"packages"], config_type=mediatype.OCI_EMPTY, subject=amd64, artifact_type=SPDX
    )
    signature = builder.image(
        b"{}", [b"signed"], config_type=mediatype.OCI_EMPTY, subject=sbom, artifact_type=COSIGN
    )
    cosign = builder.image(b"{} ", [b"simple"], layer_type=COSIGN)
    builder.name("example.com/team/app:1.4", index)
    builder.name("example.com/team/app:latest", index)
    builder.name("example.com/tool:2", tool)
    builder.name(f"example.com/win@{windows.descriptor.digest}", windows)
    builder.name("example.com/charts/app:1.4.0", chart)
    builder.refer("example.com/team/app", amd64, sbom)
    builder.refer("example.com/team/app", sbom, signature)
    tag = f"sha256-{index.descriptor.digest.hex}.sig"
    builder.refer("example.com/team/app", index, cosign, tag)
    return builder.build()


def tiny_bundle(*, algorithm: str = "sha256") -> MadeBundle:
    """One image with one layer."""
    builder = BundleBuilder()
    config = b'{"os":"linux","architecture":"amd64"}'
    document = builder.image(config, [b"a layer"], algorithm=algorithm)
    builder.name("example.com/tiny:1", document)
    return builder.build()


def flip(data: bytes, offset: int, bit: int = 0) -> bytes:
    """The bytes with one bit turned over."""
    return data[:offset] + bytes([data[offset] ^ (1 << bit)]) + data[offset + 1 :]


def replace(data: bytes, offset: int, new: bytes) -> bytes:
    """The bytes with others written over them."""
    return data[:offset] + new + data[offset + len(new) :]


def member(name: str, content: bytes = b"", *, kind: bytes = b"0") -> bytes:
    """A whole member, of any type."""
    head = members.header(name, len(content))
    return reheader(head, {156: kind}) + content + members.padding(len(content))


def reheader(block: bytes, changes: dict[int, bytes]) -> bytes:
    """A header block with fields changed and a checksum that fits again."""
    changed = bytearray(block)
    for offset, value in changes.items():
        changed[offset : offset + len(value)] = value
    changed[148:156] = b" " * 8
    changed[148:156] = b"%06o\0 " % sum(changed[:512])
    return bytes(changed)
