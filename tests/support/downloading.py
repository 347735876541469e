"""A blob to be read from a scripted server."""

from __future__ import annotations

import re

from airgap.oci.descriptor import Descriptor
from airgap.registry.repository import Repository
from tests.support.scripted_server import Reply, Seen

CONTENT = bytes(range(256)) * 1200
BLOB = Descriptor.of(CONTENT, "application/octet-stream")
PATH = r"/v2/team/app/blobs/.*"


def ranged(seen: Seen, **changes: object) -> Reply:
    """Answer what a good server answers."""
    found = re.fullmatch(r"bytes=(\d+)-", seen.headers.get("range", ""))
    if found is None:
        return Reply(body=CONTENT, **changes)  # type: ignore[arg-type]
    start = int(found[1])
    headers = {"Content-Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"}
    return Reply(206, headers, CONTENT[start:], **changes)  # type: ignore[arg-type]


def read(repository: Repository, offset: int = 0) -> bytes:
    with repository.open(BLOB, offset=offset) as chunks:
        return b"".join(chunks)
