"""A blob to be sent to a scripted server, and such a server's side of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from airgap.content.store import Chunks
from airgap.oci.descriptor import Descriptor
from airgap.registry.repository import Repository
from tests.support.scripted_server import Reply, ScriptedServer, Seen

CONTENT = bytes(range(256)) * 4096
SIZE = len(CONTENT)
BLOB = Descriptor.of(CONTENT, "application/octet-stream")
POST = r"/v2/team/app/blobs/uploads/"
MOUNT = POST + rf"\?mount={BLOB.digest}"
PLACE = "/upload/1?state=a%2Fb"
PUT = re.escape(f"{PLACE}&digest={BLOB.digest}")
STARTED = Reply(202, {"Location": PLACE})


@dataclass
class Source:
    """Content that counts how it is opened, and may break."""

    content: bytes = CONTENT
    opened: list[int] = field(default_factory=list)
    failure: BaseException | None = None

    @contextmanager
    def __call__(self, offset: int, /) -> Iterator[Chunks]:
        """Open it."""
        self.opened.append(offset)
        yield self._chunks(offset)

    def _chunks(self, offset: int) -> Chunks:
        for start in range(offset, len(self.content), 100_000):
            if self.failure is not None and start > 400_000:
                raise self.failure
            yield self.content[start : start + 100_000]


def send(repository: Repository, source: Source | None = None, **options: str) -> Source:
    source = source or Source()
    with repository.ingest(BLOB, **options) as upload:
        upload.receive(source)
        upload.commit()
        upload.commit()
        assert upload.offset == SIZE
    return source


class Taker:
    """A registry's upload that takes what comes, in order."""

    def __init__(self, server: ScriptedServer) -> None:
        self.server = server
        self.stored = b""
        self.ranges: list[str] = []

    def patch(self, seen: Seen) -> Reply:
        """Take a chunk."""
        start = int(seen.headers["content-range"].partition("-")[0])
        self.ranges.append(seen.headers["content-range"])
        if start != len(self.stored):
            return Reply(416, {"Range": self.range})
        self.stored += seen.body
        return Reply(202, {"Location": f"/upload/{len(self.ranges) + 1}", "Range": self.range})

    def partial(self, seen: Seen) -> Reply:
        """Take what arrived of a body, and fail."""
        self.stored += seen.body[:300_000]
        return Reply(503)

    def status(self, _: Seen) -> Reply:
        """Say how much is there."""
        return Reply(204, {"Location": PLACE, "Range": self.range})

    def finish(self, _: Seen) -> Reply:
        """End it."""
        return Reply(201 if self.stored == CONTENT else 400)

    @property
    def range(self) -> str:
        """What is there."""
        return f"0-{max(0, len(self.stored) - 1)}"
