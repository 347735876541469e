"""Digests, hashing and verification."""

from __future__ import annotations

import hashlib

import pytest

from airgap.errors import DigestMismatchError, InvalidContentError, SizeMismatchError
from airgap.oci.digest import ALGORITHMS, Digest, Hasher, Verifier

EMPTY_JSON = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


def test_the_digest_of_the_empty_object_is_the_one_of_the_specification():
    """Hashing `{}` gives the digest that image-spec prints for the empty descriptor."""
    assert str(Digest.of(b"{}")) == EMPTY_JSON


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_every_algorithm_hashes_like_the_standard_library(algorithm: str):
    """Both registered algorithms give the standard library's digest and parse back."""
    digest = Digest.of(b"content", algorithm)
    assert digest.hex == hashlib.new(algorithm, b"content").hexdigest()
    assert Digest.parse(str(digest)) == digest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        "sha256:",
        "sha256:" + "a" * 63,
        "sha256:" + "a" * 65,
        "sha256:" + "A" * 64,
        "sha256:" + "g" * 64,
        "SHA256:" + "a" * 64,
        "sha512:" + "a" * 64,
        "sha384:" + "a" * 96,
        "md5:" + "a" * 32,
        "sha256:" + "a" * 64 + "\n",
        " sha256:" + "a" * 64,
        "sha256:../../../../etc/passwd",
        "sha256:" + "\N{ARABIC-INDIC DIGIT ONE}" * 64,
        None,
        7,
        ["sha256:" + "a" * 64],
        {"sha256": "a"},
        b"sha256:" + b"a" * 64,
    ],
)
def test_what_is_no_digest_is_refused_in_one_line(text: object):
    """Anything but a registered algorithm with its lower-case hex is refused, with a hint."""
    with pytest.raises(InvalidContentError) as caught:
        Digest.parse(text)
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_a_huge_digest_is_not_repeated_whole_in_the_message():
    """The message about a hostile digest stays short."""
    with pytest.raises(InvalidContentError) as caught:
        Digest.parse("x" * 1_000_000)
    assert len(caught.value.message) < 200


def test_the_short_form_keeps_the_algorithm():
    """The form for people has the algorithm and twelve digits."""
    assert Digest.parse(EMPTY_JSON).short == "sha256:44136fa355b3"


def test_digests_sort_by_algorithm_then_hex():
    """Sorting is by algorithm, then by hex, so that output does not depend on input order."""
    low, high = Digest("sha256", "0" * 64), Digest("sha256", "f" * 64)
    wide = Digest("sha512", "0" * 128)
    assert sorted([wide, high, low]) == [low, high, wide]


def test_a_hasher_counts_and_hashes_chunks_like_the_whole():
    """Hashing in chunks gives the digest of the whole, and the size is counted."""
    hasher = Hasher("sha512")
    for chunk in (b"", b"con", memoryview(b"tent")):
        hasher.update(chunk)
    assert hasher.size == 7
    assert hasher.digest() == Digest.of(b"content", "sha512")


def test_a_verifier_accepts_exactly_the_promised_bytes():
    """Right bytes pass, and `is_full` turns true with the last of them only."""
    verifier = Verifier(Digest.of(b"content"), 7)
    verifier.update(b"conten")
    assert not verifier.is_full
    verifier.update(b"t")
    assert verifier.is_full
    verifier.finish()


def test_a_verifier_accepts_an_empty_blob():
    """A blob of no bytes is full from the start and verifies."""
    verifier = Verifier(Digest.of(b""), 0)
    assert verifier.is_full
    verifier.finish()


def test_a_verifier_refuses_one_byte_too_many_before_it_hashes():
    """A byte too many is refused at once, with what was expected and the side that sent it."""
    verifier = Verifier(Digest.of(b"content"), 7, origin="source")
    verifier.update(b"content")
    with pytest.raises(SizeMismatchError) as caught:
        verifier.update(b"!")
    assert verifier.size == 7
    assert caught.value.expected == "7"
    assert caught.value.origin == "source"


def test_a_verifier_says_how_many_bytes_are_missing():
    """Too few bytes are a size mismatch that tells both sizes."""
    verifier = Verifier(Digest.of(b"content"), 7)
    verifier.update(b"con")
    with pytest.raises(SizeMismatchError) as caught:
        verifier.finish()
    assert (caught.value.expected, caught.value.actual) == ("7", "3")


def test_a_verifier_tells_both_digests_when_they_differ():
    """A flipped bit is a digest mismatch that tells both digests."""
    verifier = Verifier(Digest.of(b"content"), 7, origin="bundle")
    verifier.update(b"bontent")
    with pytest.raises(DigestMismatchError) as caught:
        verifier.finish()
    assert caught.value.expected == str(Digest.of(b"content"))
    assert caught.value.actual == str(Digest.of(b"bontent"))
    assert caught.value.origin == "bundle"


@pytest.mark.parametrize("chunk", [1, 3, 4, 5, 10])
def test_a_verifier_tells_what_a_prefix_hashes_to(chunk: int) -> None:
    """Wherever it ends within a chunk; the whole content is compared all the same."""
    data = b"0123456789"
    verifier = Verifier(Digest.of(data), len(data), prefix=4)
    for at in range(0, len(data), chunk):
        verifier.update(data[at : at + chunk])
    verifier.finish()
    assert verifier.prefix_digest == Digest.of(data[:4])
