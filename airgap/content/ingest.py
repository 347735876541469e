"""Blobs on their way into a depot: pulled by a transfer, or appended piece by piece."""

from __future__ import annotations

from collections.abc import Callable

from airgap.content.pool import Partial
from airgap.content.store import Opener
from airgap.errors import DigestMismatchError, SizeMismatchError
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest, Hasher, Verifier

Link = Callable[[Digest], None]


class PulledIngest:
    """A blob that is pulled from an opener until it is whole.

    Args:
        partial: Where the bytes go; may hold the beginning already.
        descriptor: What must arrive.
        link: Makes the blob reachable once it is published.
    """

    def __init__(self, partial: Partial, descriptor: Descriptor, link: Link) -> None:
        self._partial = partial
        self._descriptor = descriptor
        self._link = link
        self._is_verified = False
        self._is_committed = False
        if partial.offset > descriptor.size:
            partial.discard()

    @property
    def offset(self) -> int:
        """How many bytes from the start are there and will be kept."""
        return self._descriptor.size if self._is_committed else self._partial.offset

    def receive(self, open_at: Opener, /) -> None:
        """Pull the rest, verifying as it comes.

        Raises:
            SizeMismatchError: There were more or fewer bytes than the descriptor says.
            DigestMismatchError: The bytes hash to something else; nothing of them is kept.
        """
        if self._is_committed:
            return
        verifier = Verifier(self._descriptor.digest, self._descriptor.size)
        with self._partial.read() as chunks:
            for chunk in chunks:
                verifier.update(chunk)
        try:
            if not verifier.is_full:
                self._pull(open_at, verifier)
            verifier.finish()
        except DigestMismatchError:
            self._partial.discard()
            raise
        self._is_verified = True

    def _pull(self, open_at: Opener, verifier: Verifier) -> None:
        with open_at(self._partial.offset) as chunks:
            for chunk in chunks:
                try:
                    verifier.update(chunk)
                except SizeMismatchError:
                    # what came before is as doubtful as what came too much
                    self._partial.discard()
                    raise
                self._partial.append(chunk)

    def commit(self) -> None:
        """Make the verified blob visible. A second commit does nothing.

        Raises:
            SizeMismatchError: It is not whole yet.
        """
        if self._is_committed:
            return
        if not self._is_verified:
            raise SizeMismatchError(
                f"{self._descriptor.digest} is not whole: {self.offset} bytes of"
                f" {self._descriptor.size} are there",
                expected=str(self._descriptor.size),
                actual=str(self.offset),
            )
        self._partial.publish(self._descriptor.digest)
        self._link(self._descriptor.digest)
        self._is_committed = True

    def abort(self) -> None:
        """Throw away what is there."""
        if not self._is_committed:
            self._is_verified = False
            self._partial.discard()


class PresentIngest:
    """A blob that is there already: there is nothing to pull and nothing to throw away."""

    def __init__(self, descriptor: Descriptor) -> None:
        self._descriptor = descriptor

    @property
    def offset(self) -> int:
        """All of it is there."""
        return self._descriptor.size

    def receive(self, open_at: Opener, /) -> None:
        """Pull nothing."""

    def commit(self) -> None:
        """It is visible already."""

    def abort(self) -> None:
        """What is visible stays."""


class PiecewiseUpload:
    """A blob whose digest is known at the end only.

    The hash goes on from piece to piece; after a restart the bytes are hashed once more.

    Args:
        upload_id: Its name in its repository.
        partial: Where the bytes go.
        algorithm: What the digest will probably be of.
        link: Makes the blob reachable once it is published.
    """

    def __init__(self, upload_id: str, partial: Partial, algorithm: str, link: Link) -> None:
        self._id = upload_id
        self._partial = partial
        self._algorithm = algorithm
        self._hasher = Hasher(algorithm)
        self._link = link

    @property
    def id(self) -> str:
        """The name by which it can be found again in its repository."""
        return self._id

    @property
    def offset(self) -> int:
        """How many bytes are there."""
        return self._partial.offset

    def append(self, chunk: bytes | memoryview, /) -> None:
        """Take the next bytes."""
        is_hashed = self._hasher.size == self._partial.offset
        self._partial.append(chunk)
        if is_hashed:
            self._hasher.update(chunk)

    def commit(self, digest: Digest, /) -> Descriptor:
        """Make the blob visible in the repository, durably.

        Raises:
            DigestMismatchError: The bytes hash to something else; the upload is gone.
        """
        size, actual = self._partial.offset, self._digest(digest.algorithm)
        if actual != digest:
            self._partial.discard()
            raise DigestMismatchError(
                f"content should hash to {digest} and hashes to {actual}",
                expected=str(digest),
                actual=str(actual),
            )
        self._partial.publish(digest)
        self._link(digest)
        return Descriptor(mediatype.OCTET_STREAM, digest, size)

    def _digest(self, algorithm: str) -> Digest:
        if algorithm == self._algorithm and self._hasher.size == self._partial.offset:
            return self._hasher.digest()
        hasher = Hasher(algorithm)
        with self._partial.read() as chunks:
            for chunk in chunks:
                hasher.update(chunk)
        return hasher.digest()

    def abort(self) -> None:
        """Throw away what is there."""
        self._partial.discard()

    def close(self) -> None:
        """Let go of open files; the upload can go on later."""
        self._partial.close()
