"""What says that a receiver has something, as bundles and receipts name it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from airgap.errors import InvalidContentError
from airgap.oci.digest import Digest
from airgap.record.origin import check_place

BaseKind = Literal["inventory", "receipt", "bundle", "lock", "need"]
_KINDS: tuple[BaseKind, ...] = get_args(BaseKind)
_SOURCES: tuple[BaseKind, ...] = ("bundle", "lock")


@dataclass(frozen=True, slots=True, order=True)
class Base:
    """Something that says what the receiver has.

    Attributes:
        kind: What it is. `need` asks for exactly some blobs: all else of its images comes with
            the bundle that the need was found for, before or after this one.
        id: The digest of it: the bundle id, or the sha256 of a record without its signatures.
        place: The registry that it speaks of; empty where it speaks of none.
    """

    kind: BaseKind
    id: Digest
    place: str = ""

    @property
    def names_sources(self) -> bool:
        """Whether it names repositories as the source does, and not as the receiver does."""
        return self.kind in _SOURCES


def parse_base(entry: Mapping[str, Any]) -> Base:
    """Read a base.

    Raises:
        InvalidContentError: It is none.
    """
    kind = next((k for k in _KINDS if k == entry.get("kind")), None)
    if kind is None:
        raise InvalidContentError(f"{str(entry.get('kind'))[:60]!r} is no base of a bundle")
    return Base(kind, Digest.parse(entry.get("id")), check_place(entry.get("place", "")))
