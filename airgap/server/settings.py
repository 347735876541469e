"""What the embedded registry does and does not do."""

from __future__ import annotations

from dataclasses import dataclass

from airgap.oci.manifest import MAX_MANIFEST_SIZE


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """The switches of a registry.

    Attributes:
        referrers: Whether it has the referrers API. What refers to what is noted in any case, so
            that nothing is missing when the API is switched on later.
        sparse_indexes: Whether it takes an index while manifests that it lists are missing.
        sparse_images: Whether it takes an image while some of its layers are missing. The answer
            then has a Warning that names them.
        deletes: Whether tags, manifests and blobs may be deleted.
        mounts: Whether a blob may be taken over from another repository.
        chunk_min_length: What `OCI-Chunk-Min-Length` asks for, if anything.
        max_manifest: How many bytes a manifest may have.
        max_blob: How many bytes a blob may have; None for as many as there is room for.
        max_body: How many bytes a body may have with which neither of them is sent.
        max_page: How many tags or repositories one answer lists at most.
        referrers_page: How many referrers one answer lists at most; None for all.
    """

    referrers: bool = True
    sparse_indexes: bool = True
    sparse_images: bool = True
    deletes: bool = True
    mounts: bool = True
    chunk_min_length: int | None = None
    max_manifest: int = MAX_MANIFEST_SIZE
    max_blob: int | None = None
    max_body: int = 64 << 10
    max_page: int = 10_000
    referrers_page: int | None = None
