"""The bundle of format version 1 that must be readable forever: what went into it, as literals.

`python -m tests.format.version1` writes bundle-v1.tar, and the same in volumes to volumes-v1.
It was done once: where today's code makes other bytes of this input, the code is wrong, not the
files.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from airgap.bundle.catalog import Catalog, CatalogImage, CatalogReferrer, Omission
from airgap.bundle.layout import plan_layout
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document, parse_manifest
from airgap.oci.reference import Reference
from tests.support.bundles import MadeBundle
from tests.support.volume_sets import split

PATH = Path(__file__).with_name("bundle-v1.tar")
VOLUMES = Path(__file__).with_name("volumes-v1")
VOLUME_CONTENTS = 90
"""How many bytes of blobs each of the volumes holds: the config and some layers are cut."""
CONFIG = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
LAYER = b"a layer of version 1"
CHART = b"a chart"
PACKAGES = b'{"spdxVersion":"SPDX-2.3"}'
EMPTY = b"{}"
LEFT_OUT = Descriptor(
    mediatype.OCI_MANIFEST,
    Digest("sha256", "a2" * 32),
    527,
)
SPDX = "application/spdx+json"
HELM = "application/vnd.cncf.helm.config.v1+json"
HELM_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"


def bundle() -> MadeBundle:
    """An image of two platforms, one left out; a chart; an SBOM; sha512; an empty blob."""
    image = _manifest(_of(CONFIG, mediatype.OCI_CONFIG), [_of(LAYER, mediatype.OCI_LAYER)])
    platforms = [
        _json(image) | {"platform": {"architecture": "amd64", "os": "linux"}},
        LEFT_OUT.to_json() | {"platform": {"architecture": "arm64", "os": "linux"}},
    ]
    index = _document(
        {"schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": platforms}
    )
    chart = _manifest(_of(EMPTY, HELM), [_of(CHART, HELM_LAYER, "sha512")], algorithm="sha512")
    sbom = _manifest(
        _of(EMPTY, mediatype.OCI_EMPTY),
        [_of(PACKAGES, SPDX), _of(b"", mediatype.OCTET_STREAM)],
        artifactType=SPDX,
        subject=_json(image),
    )
    by_digest = index.descriptor.digest
    catalog = Catalog.build(
        images=[
            CatalogImage(Reference.parse("docker.io/library/app:1.4"), by_digest, _digest(image)),
            CatalogImage(Reference.parse("registry.example/charts/app:2"), _digest(chart)),
            CatalogImage(
                Reference.parse(f"registry.example/app@{by_digest}"), by_digest, _digest(image)
            ),
        ],
        referrers=[
            CatalogReferrer("docker.io/library/app", _digest(image), _digest(sbom)),
            CatalogReferrer(
                "docker.io/library/app", by_digest, _digest(sbom), f"sha256-{by_digest.hex}.sbom"
            ),
        ],
        manifests=[document.descriptor for document in (image, index, chart, sbom)],
        blobs=[
            (Digest.of(CONFIG), len(CONFIG)),
            (Digest.of(EMPTY), len(EMPTY)),
            (Digest.of(CHART, "sha512"), len(CHART)),
            (Digest.of(b""), 0),
            (Digest.of(LAYER), len(LAYER)),
            (Digest.of(PACKAGES), len(PACKAGES)),
        ],
        omitted=[Omission(LEFT_OUT, "platform", (by_digest,))],
    )
    documents = {_digest(document): document for document in (image, index, chart, sbom)}
    contents = {Digest.of(data): data for data in (CONFIG, EMPTY, b"", LAYER, PACKAGES)}
    contents[Digest.of(CHART, "sha512")] = CHART
    return MadeBundle(plan_layout(catalog, documents), documents, contents)


def _of(data: bytes, media_type: str, algorithm: str = "sha256") -> dict[str, Any]:
    return Descriptor.of(data, media_type, algorithm).to_json()


def _json(document: Document) -> dict[str, Any]:
    own = document.descriptor
    return Descriptor(own.media_type, own.digest, own.size).to_json()


def _digest(document: Document) -> Digest:
    return document.descriptor.digest


def _manifest(
    config: dict[str, Any], layers: list[dict[str, Any]], algorithm: str = "sha256", **more: Any
) -> Document:
    value = {"schemaVersion": 2, "mediaType": mediatype.OCI_MANIFEST, "config": config}
    return _document(value | {"layers": layers} | more, algorithm)


def _document(value: dict[str, Any], algorithm: str = "sha256") -> Document:
    raw = json.dumps(value, indent=1).encode()
    return parse_manifest(raw, str(value["mediaType"]), algorithm=algorithm)


if __name__ == "__main__":
    PATH.write_bytes(bundle().data)
    VOLUMES.mkdir(exist_ok=True)
    split(bundle(), VOLUME_CONTENTS).write(VOLUMES)
