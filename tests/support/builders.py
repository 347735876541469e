"""Real content, made deterministically: layers, images, indexes, attestations, artifacts.

Everything made here is what tools would make: layers are valid tars, image configs name the diff
ids of their layers, so docker, podman and containerd take the images. Documents are written with
white space and in an order of their own, so that whoever writes them again changes their digest.

    app = image(layers=(1000, 2000), seed=7)
    multi = index([image(platform=AMD64), image(platform=ARM64, seed=1)])
    push(store, multi, tag="1.0")
"""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from airgap.content.store import CHUNK_SIZE, Chunks, Sink
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document, parse_manifest
from airgap.oci.platform import Platform

AMD64 = Platform("linux", "amd64")
ARM64 = Platform("linux", "arm64", "v8")
ARMV7 = Platform("linux", "arm", "v7")
WINDOWS = Platform("windows", "amd64", "", "10.0.20348.2227")
UNKNOWN = Platform("unknown", "unknown")

HELM_CONFIG = "application/vnd.cncf.helm.config.v1+json"
HELM_CHART = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
SPDX = "application/spdx+json"
COSIGN_PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
IN_TOTO = "application/vnd.in-toto+json"
DOCKER_FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"


@dataclass(frozen=True)
class Blob:
    """Bytes and what describes them."""

    descriptor: Descriptor
    data: bytes = field(repr=False)

    def opener(self, offset: int) -> Any:
        """Open the bytes at an offset, as `Ingest.receive` wants it."""
        return opened(self.data, offset)


@dataclass(frozen=True)
class Layer(Blob):
    """A layer and the digest of its tar before compression; `data` is empty if it is elsewhere."""

    diff_id: Digest
    is_here: bool = True


@dataclass(frozen=True)
class Content:
    """A manifest or index with all that it needs.

    Attributes:
        document: The manifest or index.
        blobs: Its config and layers, without those that live elsewhere.
        children: What an index lists, as far as it is here.
        platform: What an index says of it.
        entry_annotations: What an index says of it, too.
    """

    document: Document
    blobs: tuple[Blob, ...] = ()
    children: tuple[Content, ...] = ()
    platform: Platform | None = None
    entry_annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def descriptor(self) -> Descriptor:
        """Type, digest and size of the document."""
        return self.document.descriptor

    @property
    def digest(self) -> Digest:
        """The digest of the document."""
        return self.document.descriptor.digest

    @property
    def raw(self) -> bytes:
        """The document's bytes."""
        return self.document.raw

    @property
    def entry(self) -> Descriptor:
        """What an index lists for it."""
        annotations = dict(self.entry_annotations)
        return replace(self.descriptor, platform=self.platform, annotations=annotations)

    def walk(self) -> Iterator[Content]:
        """All contents in the order in which they can be pushed: children first."""
        for child in self.children:
            yield from child.walk()
        yield self

    def all_blobs(self) -> dict[Digest, Blob]:
        """The blobs of everything below, each once."""
        return {b.descriptor.digest: b for content in self.walk() for b in content.blobs}


@contextmanager
def opened(data: bytes, offset: int = 0) -> Iterator[Chunks]:
    """Bytes in memory as a source gives them."""
    yield (data[at : at + CHUNK_SIZE] for at in range(offset, len(data), CHUNK_SIZE))


def blob(data: bytes, media_type: str = mediatype.OCTET_STREAM, algorithm: str = "sha256") -> Blob:
    """Any bytes."""
    return Blob(Descriptor.of(data, media_type, algorithm), data)


def random_blob(size: int, seed: int = 0) -> Blob:
    """Bytes that do not compress."""
    return blob(random.Random(seed).randbytes(size))


def layer(
    size: int = 1000,
    seed: int = 0,
    *,
    media_type: str = mediatype.OCI_LAYER_GZIP,
    name: str = "",
    algorithm: str = "sha256",
) -> Layer:
    """A tar with one file of random bytes; compressed where the media type says so.

    Args:
        size: How many bytes the file has. They do not compress, so the layer is about as large.
        seed: Another seed gives another layer.
        media_type: One that ends in gzip is compressed.
        name: Of the file, by default `data/<seed>-<size>.bin`.
        algorithm: By which the layer's digest is made.
    """
    tar = _tar(
        {name or f"data/{seed}-{size}.bin": random.Random(seed * 7919 + size).randbytes(size)}
    )
    data = gzip.compress(tar, 1, mtime=0) if media_type.endswith("gzip") else tar
    return Layer(Descriptor.of(data, media_type, algorithm), data, Digest.of(tar))


def foreign_layer(url: str, size: int = 500, seed: int = 99) -> Layer:
    """A layer that may only be fetched from where its descriptor says.

    Its bytes are there for a server that plays that place; `push` does not push them.
    """
    made = layer(size, seed, media_type=DOCKER_FOREIGN_LAYER)
    return replace(made, descriptor=replace(made.descriptor, urls=(url,)), is_here=False)


def image(
    *,
    layers: Iterable[int | Layer] = (1000,),
    seed: int = 0,
    platform: Platform = AMD64,
    docker: bool = False,
    subject: Descriptor | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Content:
    """An image that engines can load.

    Args:
        layers: Layers, or sizes of layers to make.
        seed: Another seed gives another image, and other layers where sizes are given.
        platform: What it runs on.
        docker: Whether its types are Docker's own (schema 2) and not OCI's.
        subject: What it refers to.
        annotations: What its manifest says of it.
    """
    kind = mediatype.DOCKER_LAYER_GZIP if docker else mediatype.OCI_LAYER_GZIP
    made = [
        found if isinstance(found, Layer) else layer(found, seed * 1000 + number, media_type=kind)
        for number, found in enumerate(layers)
    ]
    config = blob(
        dumps(_config(platform, made, seed)),
        mediatype.DOCKER_CONFIG if docker else mediatype.OCI_CONFIG,
    )
    content = manifest(
        config,
        made,
        media_type=mediatype.DOCKER_MANIFEST if docker else mediatype.OCI_MANIFEST,
        subject=subject,
        annotations=annotations,
    )
    return replace(content, platform=platform)


def manifest(
    config: Blob,
    layers: Iterable[Blob] = (),
    *,
    media_type: str = mediatype.OCI_MANIFEST,
    artifact_type: str = "",
    subject: Descriptor | None = None,
    annotations: Mapping[str, str] | None = None,
    algorithm: str = "sha256",
) -> Content:
    """A manifest over any blobs."""
    layers = list(layers)
    value: dict[str, Any] = {"schemaVersion": 2, "mediaType": media_type}
    if artifact_type:
        value["artifactType"] = artifact_type
    value["config"] = config.descriptor.to_json()
    value["layers"] = [found.descriptor.to_json() for found in layers]
    if subject is not None:
        value["subject"] = _plain(subject)
    if annotations:
        value["annotations"] = dict(annotations)
    here = [found for found in layers if getattr(found, "is_here", True)]
    document = parse_manifest(dumps(value), media_type, algorithm=algorithm)
    return Content(document, (config, *here))


def index(
    children: Iterable[Content],
    *,
    docker: bool = False,
    without: Iterable[Content] = (),
    artifact_type: str = "",
    subject: Descriptor | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Content:
    """An index over contents, which may be indexes themselves.

    Args:
        children: What it lists.
        docker: Whether it is Docker's manifest list.
        without: What it lists, too, but is not there: `push` does not push it.
        artifact_type: What kind of artifact it is.
        subject: What it refers to.
        annotations: What it says of itself.
    """
    children, without = list(children), list(without)
    media_type = mediatype.DOCKER_LIST if docker else mediatype.OCI_INDEX
    value: dict[str, Any] = {"schemaVersion": 2, "mediaType": media_type}
    if artifact_type:
        value["artifactType"] = artifact_type
    value["manifests"] = [child.entry.to_json() for child in [*children, *without]]
    if subject is not None:
        value["subject"] = _plain(subject)
    if annotations:
        value["annotations"] = dict(annotations)
    return Content(parse_manifest(dumps(value), media_type), children=tuple(children))


def attestation(of: Content, seed: int = 0) -> Content:
    """What buildkit puts beside an image in an index: a manifest for no platform."""
    statement = {"_type": "https://in-toto.io/Statement/v0.1", "subject": [], "seed": seed}
    body = blob(dumps(statement | {"digest": str(of.digest)}), IN_TOTO)
    rootfs = {"type": "layers", "diff_ids": [str(body.descriptor.digest)]}
    config = {"architecture": "unknown", "os": "unknown", "config": {}, "rootfs": rootfs}
    made = manifest(blob(dumps(config), mediatype.OCI_CONFIG), [body])
    return replace(
        made,
        platform=UNKNOWN,
        entry_annotations={
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": str(of.digest),
        },
    )


def multi_platform(
    platforms: Iterable[Platform] = (AMD64, ARM64),
    *,
    seed: int = 0,
    layers: Iterable[int | Layer] = (1000,),
    attested: bool = True,
    docker: bool = False,
) -> Content:
    """An index as buildkit makes it: an image for each platform, and an attestation for each."""
    layers = tuple(layers)
    images = [
        image(layers=layers, seed=seed * 100 + number, platform=platform, docker=docker)
        for number, platform in enumerate(platforms)
    ]
    attestations = [attestation(found) for found in images] if attested and not docker else []
    return index([*images, *attestations], docker=docker)


def artifact(
    artifact_type: str,
    layers: Iterable[Blob] = (),
    *,
    config: Blob | None = None,
    subject: Descriptor | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Content:
    """Any artifact: with an empty config unless one is given, and the empty blob as its layer
    unless some are given (image-spec manifest.md, "Guidelines for Artifact Usage").
    """
    empty = blob(b"{}", mediatype.OCI_EMPTY)
    return manifest(
        config or empty,
        list(layers) or [empty],
        artifact_type=artifact_type,
        subject=subject,
        annotations=annotations,
    )


def bare_artifact(artifact_type: str = "application/vnd.example.nothing") -> Content:
    """An artifact whose list of layers is empty."""
    return manifest(blob(b"{}", mediatype.OCI_EMPTY), [], artifact_type=artifact_type)


def chart(name: str = "demo", version: str = "1.2.3") -> Content:
    """A Helm chart."""
    meta = {"apiVersion": "v2", "name": name, "version": version}
    tar = _tar({f"{name}/Chart.yaml": dumps(meta)})
    body = blob(gzip.compress(tar, 1, mtime=0), HELM_CHART)
    return manifest(blob(dumps(meta), HELM_CONFIG), [body])


def sbom(subject: Descriptor, *, name: str = "demo", seed: int = 0) -> Content:
    """An SBOM that refers to a manifest."""
    document = blob(dumps({"spdxVersion": "SPDX-2.3", "name": name, "seed": seed}), SPDX)
    annotations = {"org.opencontainers.image.title": f"{name}.spdx.json"}
    return artifact(SPDX, [document], subject=subject, annotations=annotations)


def cosign_signature(subject: Descriptor) -> tuple[str, Content]:
    """A signature as cosign keeps it: under a tag, with no subject. Gives the tag, too."""
    critical = {"image": {"docker-manifest-digest": str(subject.digest)}, "type": "cosign"}
    payload = blob(dumps({"critical": critical, "optional": None}), COSIGN_PAYLOAD)
    rootfs = {"type": "layers", "diff_ids": [str(payload.descriptor.digest)]}
    config = {"architecture": "", "os": "", "config": {}, "rootfs": rootfs}
    made = manifest(
        blob(dumps(config), mediatype.OCI_CONFIG),
        [payload],
        annotations={"dev.cosignproject.cosign/signature": "bm90IGEgc2lnbmF0dXJl"},
    )
    return f"{subject.digest.algorithm}-{subject.digest.hex}.sig", made


def push_blob(sink: Sink, found: Blob) -> None:
    """Write one blob, unless it is there."""
    if sink.has_blob(found.descriptor):
        return
    with sink.ingest(found.descriptor) as ingest:
        ingest.receive(found.opener)
        ingest.commit()


def push(sink: Sink, content: Content, tag: str | None = None) -> Content:
    """Write a manifest or index and everything below it; gives it back."""
    for part in content.walk():
        for found in part.blobs:
            push_blob(sink, found)
        sink.put_manifest(part.document, tag=tag if part is content else None)
    return content


def dumps(value: object) -> bytes:
    """A document as other tools write it: not as airgap would."""
    return json.dumps(value, indent=3).encode()


def _plain(subject: Descriptor) -> dict[str, Any]:
    return Descriptor(subject.media_type, subject.digest, subject.size).to_json()


def _config(platform: Platform, layers: list[Layer], seed: int) -> dict[str, Any]:
    created = "2024-01-01T00:00:00Z"
    history = [{"created": created, "created_by": f"layer {n}"} for n in range(len(layers))]
    return {
        "created": created,
        **platform.to_json(),
        "config": {"Cmd": ["/data"], "Labels": {"seed": str(seed)}},
        "rootfs": {"type": "layers", "diff_ids": [str(found.diff_id) for found in layers]},
        "history": history,
    }


def _tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            member.mode = 0o644
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
