"""Bytes on their way: hashed as they pass, and never all handed on before they are right."""

from __future__ import annotations

from collections.abc import Iterator

from airgap.content.store import Chunks
from airgap.oci.digest import Verifier


def verified(chunks: Chunks, verifier: Verifier, *, offset: int) -> Iterator[bytes]:
    """Hash chunks as they pass and hold the last one back until the digest is right.

    A receiver that counts bytes can therefore never take wrong content for complete. Where an
    upload goes on behind what was hashed before, the bytes in between pass without being hashed
    twice: the receiver checks the whole content, too.

    Args:
        chunks: The content from `offset` on.
        verifier: Has hashed the content up to some offset that is at least `offset`.
        offset: Where the chunks begin.

    Raises:
        SizeMismatchError: There were more or fewer bytes than promised.
        DigestMismatchError: The content hashes to something else.
        ValueError: The verifier has not seen what lies before the offset, which is a bug: content
            from the start would then pass for content from the offset.
    """
    if verifier.size < offset:
        raise ValueError(f"hashed up to {verifier.size}, which is before the offset {offset}")
    held: bytes | None = None
    for chunk in chunks:
        if not chunk:
            continue
        end = offset + len(chunk)
        if end > verifier.size:
            verifier.update(memoryview(chunk)[max(0, verifier.size - offset) :])
        offset = end
        if held is not None:
            yield held
        held = chunk
    verifier.finish()
    if held is not None:
        yield held
