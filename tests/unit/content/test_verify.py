"""Hashing on the way, with the last chunk held back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airgap.content.verify import verified
from airgap.errors import DigestMismatchError, SizeMismatchError, UnavailableError
from airgap.oci.digest import Digest, Verifier

CONTENT = b"0123456789"


def verifier_of(content: bytes = CONTENT, *, seen: int = 0) -> Verifier:
    """A verifier of some content that has hashed the first bytes of it."""
    made = Verifier(Digest.of(content), len(content))
    made.update(content[:seen])
    return made


def taken(chunks: Iterator[bytes]) -> tuple[bytes, Exception | None]:
    """What a receiver got, and the error that ended it."""
    got = b""
    try:
        for chunk in chunks:
            got += chunk
    except Exception as error:
        return got, error
    return got, None


def cut(content: bytes, size: int) -> Iterator[bytes]:
    """Content in chunks of a size."""
    return (content[at : at + size] for at in range(0, len(content), size))


@pytest.mark.parametrize("size", [1, 3, 10, 11])
def test_right_content_passes_unchanged(size: int):
    """Whatever the chunks, right content arrives whole."""
    assert taken(verified(cut(CONTENT, size), verifier_of(), offset=0)) == (CONTENT, None)


@pytest.mark.parametrize("size", [1, 3, 10])
def test_wrong_content_is_never_whole(size: int):
    """With a flipped bit the receiver lacks the last chunk when the error comes."""
    wrong = b"0123456780"
    got, error = taken(verified(cut(wrong, size), verifier_of(), offset=0))
    assert isinstance(error, DigestMismatchError)
    assert got == wrong[: (len(wrong) - 1) // size * size]


def test_content_that_ends_early_is_never_whole():
    """Too few bytes are an error, and the last chunk that came is held back."""
    got, error = taken(verified(cut(CONTENT[:9], 3), verifier_of(), offset=0))
    assert isinstance(error, SizeMismatchError)
    assert got == CONTENT[:6]


@pytest.mark.parametrize("size", [1, 2, 10, 20])
def test_content_that_goes_on_too_long_is_never_whole(size: int):
    """A byte behind the right ones is an error before the last right chunk is handed on."""
    got, error = taken(verified(cut(CONTENT + b"!", size), verifier_of(), offset=0))
    assert isinstance(error, SizeMismatchError)
    assert len(got) < len(CONTENT)


def test_a_chunk_is_handed_on_when_the_next_one_came():
    """One chunk is held back, and no more than one."""
    came = []

    def source() -> Iterator[bytes]:
        for chunk in cut(CONTENT, 2):
            came.append(chunk)
            yield chunk

    chunks = verified(source(), verifier_of(), offset=0)
    assert next(chunks) == b"01"
    assert came == [b"01", b"23"]


def test_empty_chunks_are_passed_over():
    """Empty chunks, also at the end, neither end the content nor free the held one."""
    chunks = iter([b"", CONTENT[:5], b"", CONTENT[5:], b""])
    assert list(verified(chunks, verifier_of(), offset=0)) == [CONTENT[:5], CONTENT[5:]]


def test_an_empty_blob_is_verified():
    """No chunks are right for a blob of no bytes, and one byte is too many."""
    assert taken(verified(iter([]), verifier_of(b""), offset=0)) == (b"", None)
    got, error = taken(verified(iter([b"x"]), verifier_of(b""), offset=0))
    assert (got, type(error)) == (b"", SizeMismatchError)


def test_nothing_at_all_is_no_content():
    """A source that gives nothing for content that should be there is an error."""
    assert isinstance(taken(verified(iter([]), verifier_of(), offset=0))[1], SizeMismatchError)


@pytest.mark.parametrize("offset", range(11))
@pytest.mark.parametrize("seen", range(11))
def test_content_goes_on_from_any_offset_already_hashed(offset: int, seen: int):
    """From an offset at or below what was hashed, exactly the rest passes and verifies."""
    chunks = verified(cut(CONTENT[offset:], 3), verifier_of(seen=seen), offset=offset)
    if seen < offset:
        with pytest.raises(ValueError, match="before the offset"):
            next(chunks)
    else:
        assert taken(chunks) == (CONTENT[offset:], None)


def test_a_source_that_begins_at_zero_again_does_not_pass_for_the_rest():
    """Content from the start in place of the rest is refused, though every byte of it is right."""
    got, error = taken(verified(cut(CONTENT, 5), verifier_of(seen=5), offset=5))
    assert isinstance(error, SizeMismatchError | DigestMismatchError)
    assert len(got) < 5


def test_an_error_of_the_source_stays_what_it_is():
    """A source that breaks off raises its own error, and the held chunk is not handed on."""

    def source() -> Iterator[bytes]:
        yield CONTENT[:5]
        yield CONTENT[5:]
        raise UnavailableError("the connection broke")

    got, error = taken(verified(source(), verifier_of(), offset=0))
    assert isinstance(error, UnavailableError)
    assert got == CONTENT[:5]


def test_a_transfer_that_broke_goes_on_with_the_same_verifier():
    """After a break the same verifier takes the rest from where the receiver is."""
    verifier = verifier_of()
    first = verified(cut(CONTENT, 2), verifier, offset=0)
    got = next(first) + next(first)
    assert verifier.size > len(got)
    rest = verified(cut(CONTENT[len(got) :], 4), verifier, offset=len(got))
    assert got + b"".join(rest) == CONTENT
