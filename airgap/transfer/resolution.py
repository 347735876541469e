"""What was found at the sources: values that the planner works on, without I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from airgap.bundle.catalog import Omission
from airgap.errors import AirgapError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document
from airgap.oci.platform import Platform
from airgap.oci.reference import Reference
from airgap.transfer.known import Witness


@dataclass(frozen=True, slots=True)
class Selection:
    """What of an image is wanted.

    Attributes:
        platforms: Those that travel; none means all.
        referrers: Whether what refers to an image travels with it.
        allow_missing_at_source: Whether what the source lacks itself is left out instead of
            being an error.
        non_distributable: Whether such layers are fetched from the urls they name.
        load_platform: Which platform of an index engines without indexes get.
    """

    platforms: tuple[Platform, ...] = ()
    referrers: bool = True
    allow_missing_at_source: bool = False
    non_distributable: bool = False
    load_platform: Platform | None = None


@dataclass(frozen=True, slots=True, order=True)
class FoundReferrer:
    """A manifest that refers to another one, found in a repository."""

    descriptor: Descriptor = field(compare=False)
    digest: Digest
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Resolution:
    """Everything that resolving found.

    Attributes:
        roots: What each reference stood for.
        documents: Every manifest and index, by digest.
        referrers: What refers to a digest in a repository; repositories are `registry/path`.
        errors: Why a manifest, or the list of its referrers, could not be had.
        unreadable: Index entries of types that only the blobs endpoint knows.
        failed: References that failed as such.
        platforms: What a root's config says it runs on, where that was asked.
        contents: Blobs that had to be read to decide; they need not be fetched again.
        left_out: What the sources left out on purpose themselves, and why.
        loads: What the sources say that engines without indexes get.
        held: What the sources themselves left to the receiver.
    """

    roots: tuple[tuple[Reference, Digest], ...]
    documents: Mapping[Digest, Document]
    referrers: Mapping[tuple[str, Digest], tuple[FoundReferrer, ...]]
    errors: Mapping[tuple[str, Digest], AirgapError]
    unreadable: Mapping[Digest, Descriptor]
    failed: tuple[tuple[Reference, AirgapError], ...]
    platforms: Mapping[Digest, Platform]
    contents: Mapping[Digest, bytes]
    left_out: Mapping[Digest, Omission] = field(default_factory=dict[Digest, Omission])
    loads: Mapping[Reference, Digest] = field(default_factory=dict[Reference, Digest])
    held: tuple[Witness, ...] = ()
