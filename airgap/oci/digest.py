"""Digests, and the only place of airgap that hashes."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Self

from airgap.errors import DigestMismatchError, InvalidContentError, Origin, SizeMismatchError

ALGORITHMS = {"sha256": 64, "sha512": 128}
"""The registered algorithms that airgap handles and how many hex digits each has."""

_PATTERN = re.compile(r"(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A content digest (image-spec, descriptor.md, "Digests")."""

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: object) -> Self:
        """Parse `algorithm:hex`.

        Raises:
            InvalidContentError: It is no digest, or of an algorithm that is not registered.
        """
        if not isinstance(text, str) or not _PATTERN.fullmatch(text):
            shown = str(text)[:100]
            raise InvalidContentError(
                f"{shown!r} is not a digest",
                hint="a digest is sha256: or sha512: and lower-case hex",
            )
        algorithm, _, digits = text.partition(":")
        return cls(algorithm, digits)

    @classmethod
    def of(cls, data: bytes | memoryview, algorithm: str = "sha256") -> Self:
        """Hash bytes that are already in memory."""
        return cls(algorithm, hashlib.new(algorithm, data).hexdigest())

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"

    def __hash__(self) -> int:
        return hash(self.hex)  # which Python keeps: plans look up millions of digests

    @property
    def short(self) -> str:
        """The first twelve hex digits with the algorithm, for people."""
        return f"{self.algorithm}:{self.hex[:12]}"


def keyed_digest(key: bytes, *parts: bytes) -> bytes:
    """Hash parts with a key, so that nobody without it can tell or compute the result.

    Args:
        key: Up to 64 secret bytes.
        parts: What is hashed; none of them can run into the next one.
    """
    state = hashlib.blake2b(key=key, digest_size=32)
    for part in parts:
        state.update(len(part).to_bytes(8, "big"))
        state.update(part)
    return state.digest()


class Hasher:
    """Hashes content that arrives in chunks."""

    def __init__(self, algorithm: str = "sha256") -> None:
        self._hash = hashlib.new(algorithm)
        self._algorithm = algorithm
        self.size = 0

    def update(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes. Releases the interpreter lock for large chunks."""
        self._hash.update(chunk)
        self.size += len(chunk)

    def digest(self) -> Digest:
        """The digest of all bytes taken so far."""
        return Digest(self._algorithm, self._hash.hexdigest())


class Verifier:
    """Hashes content in chunks and compares it with the digest and size that were promised.

    Args:
        digest: What the content must hash to.
        size: How many bytes it must have.
        origin: Which side the content comes from, for the error.
        prefix: What so many bytes from the start hash to is wanted, too.
    """

    def __init__(
        self, digest: Digest, size: int, *, origin: Origin | None = None, prefix: int = 0
    ) -> None:
        self.expected = digest
        self.expected_size = size
        self.prefix_digest: Digest | None = None
        self._prefix = prefix
        self._origin: Origin | None = origin
        self._hasher = Hasher(digest.algorithm)

    @property
    def size(self) -> int:
        """How many bytes were hashed so far."""
        return self._hasher.size

    @property
    def is_full(self) -> bool:
        """Whether all the promised bytes were seen."""
        return self._hasher.size == self.expected_size

    def update(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes.

        Raises:
            SizeMismatchError: There are more bytes than promised (checked before hashing).
        """
        if self._hasher.size + len(chunk) > self.expected_size:
            raise SizeMismatchError(
                f"{self.expected} has more bytes than the {self.expected_size} it should have",
                expected=str(self.expected_size),
                actual=f"more than {self.expected_size}",
                origin=self._origin,
            )
        left = self._prefix - self._hasher.size
        if 0 < left <= len(chunk):
            view = memoryview(chunk)
            self._hasher.update(view[:left])
            self.prefix_digest = self._hasher.digest()
            chunk = view[left:]
        self._hasher.update(chunk)

    def finish(self) -> None:
        """Compare size and digest.

        Raises:
            SizeMismatchError: Bytes are missing.
            DigestMismatchError: The bytes hash to something else.
        """
        if not self.is_full:
            raise SizeMismatchError(
                f"{self.expected} has {self.size} bytes and should have {self.expected_size}",
                expected=str(self.expected_size),
                actual=str(self.size),
                origin=self._origin,
            )
        actual = self._hasher.digest()
        if actual != self.expected:
            raise DigestMismatchError(
                f"content should hash to {self.expected} and hashes to {actual}",
                expected=str(self.expected),
                actual=str(actual),
                origin=self._origin,
            )


class Md5:
    """MD5 of content that arrives in chunks, as PAR2 files carry it.

    It finds damage and proves nothing: nobody may trust content for it.
    """

    def __init__(self) -> None:
        self._hash = hashlib.md5(usedforsecurity=False)

    def update(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes. Releases the interpreter lock for large chunks."""
        self._hash.update(chunk)

    def digest(self) -> bytes:
        """The 16 bytes that all bytes taken so far hash to."""
        return self._hash.digest()

    @classmethod
    def of(cls, *parts: bytes | memoryview) -> bytes:
        """Hash bytes that are already in memory, as if they followed each other."""
        state = cls()
        for part in parts:
            state.update(part)
        return state.digest()
