"""Image layouts in folders, for tests."""

from __future__ import annotations

import json
from pathlib import Path

from airgap.oci import mediatype
from airgap.oci.layout import REF_NAME
from tests.support.builders import Content


def lay_out(folder: Path, *entries: tuple[Content, str | None]) -> Path:
    """Write an image layout of contents; each comes with its name in index.json, or none."""
    listed = []
    for content, name in entries:
        parts = [(part.digest, part.raw) for part in content.walk()]
        blobs = content.all_blobs().values()
        for digest, data in [*parts, *((b.descriptor.digest, b.data) for b in blobs)]:
            path = folder / "blobs" / digest.algorithm / digest.hex
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        more = {"annotations": {REF_NAME: name}} if name else {}
        listed.append(content.descriptor.to_json() | more)
    index = {"schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": listed}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return folder
