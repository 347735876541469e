"""What a page or another server-side door needs to take a bundle in: protocols and values.

The server knows no bundle format. The command line hands it one `BundleImporter`, which reads the
file where it lies (in somebody's browser, say) at whatever offset it wants next, so nothing is
sent that is there already and nothing is kept twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from airgap.content.depot import Depot
from airgap.content.store import Chunks
from airgap.oci.digest import Digest
from airgap.run import Run


class RemoteFile(Protocol):
    """A file that lies elsewhere and is asked for piece by piece."""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        ...

    @property
    def size(self) -> int:
        """How many bytes it is said to have."""
        ...

    def open(self, offset: int, size: int, /) -> AbstractContextManager[Chunks]:
        """Ask for a run of bytes; gives exactly those, in chunks of at most `CHUNK_SIZE`.

        Raises:
            UnavailableError: Whoever has the file went away.
            CancelledError: The run was ended.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivalOptions:
    """How a bundle is imported; the words mean what they mean to `import bundle`."""

    prefix: str = ""
    keep_host: bool = False
    on_existing_tag: Literal["overwrite", "skip", "error"] = "error"
    sparse: Literal["index", "image", "fail"] = "index"


@dataclass(frozen=True, slots=True)
class ArrivedImage:
    """One image of a bundle and what became of it.

    Attributes:
        source: Its name in the bundle.
        repository: Where it is now.
        tag: Its tag there; empty where it is there by digest alone.
        digest: What the name stands for.
        outcome: pushed, present, skipped or image-only, as `import bundle` says it.
    """

    source: str
    repository: str
    tag: str
    digest: Digest
    outcome: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """A bundle that came.

    Attributes:
        bundle: Its id.
        name: What its file was called.
        images: What it brought.
        when: When all of it was there; None where nobody knows.
        who: Who brought it; empty where nobody signed in.
        sent_bytes: How many bytes were not there before.
        notes: What else should be known.
        is_served: Whether it is served in place and was not imported.
    """

    bundle: Digest
    name: str
    images: tuple[ArrivedImage, ...]
    when: datetime | None = None
    who: str = ""
    sent_bytes: int = 0
    notes: tuple[str, ...] = field(default=())
    is_served: bool = False


@dataclass(frozen=True, slots=True)
class Admission:
    """What the one who brings a bundle may do, and where there is room.

    Attributes:
        registry: How the registry is called, for messages.
        may_write: Whether a repository may be written to.
        free_bytes: The room that is left for content; None where nobody knows.
    """

    registry: str
    may_write: Callable[[str], bool]
    free_bytes: Callable[[], int | None]


class BundleImporter(Protocol):
    """Takes a bundle in. Blocks until it is done; called from a thread of its own."""

    def __call__(
        self,
        file: RemoteFile,
        depot: Depot,
        options: ArrivalOptions,
        admission: Admission,
        *,
        run: Run,
    ) -> Arrival:
        """Check a bundle, and put what it carries into a depot, tags last.

        Raises:
            UnauthorizedError: A repository may not be written to; nothing was written then.
            StorageFullError: There is no room for it; nothing was written then.
            AirgapError: The bundle or the depot failed; what arrived is kept, without a tag.
        """
        ...


class ArrivalSource(Protocol):
    """Knows of bundles that came, or that are served in place. Safe to use from several threads."""

    def arrivals(self) -> Iterator[Arrival]:
        """All of them, the latest first."""
        ...


@runtime_checkable
class ArrivalLedger(ArrivalSource, Protocol):
    """Remembers which bundles came."""

    def note_arrival(self, arrival: Arrival, /) -> None:
        """Remember one, durably."""
        ...
