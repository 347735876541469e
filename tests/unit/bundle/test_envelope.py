"""The envelope beside encrypted volumes: what it keeps, and what it refuses."""

import random
from dataclasses import replace

import pytest

from airgap.bundle.envelope import Envelope, EnvelopeEntry
from airgap.errors import BundleFormatError
from airgap.oci.digest import Digest
from airgap.oci.document import canonical_bytes, parse_object

BLOCK = 1 << 20
ENVELOPE = Envelope(
    Digest.of(b"bundle"),
    3,
    BLOCK,
    (
        EnvelopeEntry(1, "r.001.tar.age", BLOCK + 1, 900_000, (Digest.of(b"1"), Digest.of(b"2"))),
        EnvelopeEntry(3, "r.003.tar.age", 5, 1, (Digest.of(b"3"),)),
    ),
    Digest.of(b"keys"),
)


def _signed(**changed: object) -> bytes:
    """The envelope with other values and the digest that belongs to them."""
    value = parse_object(ENVELOPE.to_bytes(), what="it")
    del value["self"]
    value |= changed
    return canonical_bytes(value | {"self": str(Digest.of(canonical_bytes(value)))})


def _files(**changed: object) -> bytes:
    (first, second) = parse_object(ENVELOPE.to_bytes(), what="it")["files"]
    return _signed(files=[first | changed, second])


def test_an_envelope_reads_back_as_it_was_written() -> None:
    """Also without what only an unfinished export has, and the same value has the same bytes."""
    for envelope in (ENVELOPE, replace(ENVELOPE, keys=None, entries=())):
        assert Envelope.parse(envelope.to_bytes()) == envelope
        assert Envelope.parse(envelope.to_bytes()).to_bytes() == envelope.to_bytes()


def test_an_envelope_knows_which_volumes_are_finished() -> None:
    """An export that was interrupted goes on with the others."""
    assert not ENVELOPE.is_complete
    assert replace(ENVELOPE, volumes=2).is_complete
    assert ENVELOPE.entry(3) == ENVELOPE.entries[1]
    assert ENVELOPE.entry(2) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{}",
        _signed(formatVersion=99),
        _signed(mediaType="text/plain"),
        _signed(volumes=0),
        _signed(volumes=2),
        _signed(volumes=True),
        _signed(volumes=10**9),
        _signed(block=0),
        _signed(block=1),
        _signed(bundle="sha256:1"),
        _signed(files={}),
        _signed(files=[1]),
        _signed(keys=7),
        _files(volume=3),
        _files(volume=0),
        _files(volume=9),
        _files(name="../r.age"),
        _files(name=""),
        _files(name=".."),
        _files(name="notes.txt"),
        _files(size=-1),
        _files(size=5 * BLOCK),
        _files(blocks=["x", "y"]),
        _files(blocks=None),
        _files(content="1"),
    ],
)
def test_what_airgap_would_not_write_is_refused(raw: bytes) -> None:
    """An envelope comes from a medium that anybody may have written."""
    with pytest.raises(BundleFormatError):
        Envelope.parse(raw)


def test_no_changed_byte_of_an_envelope_goes_unnoticed() -> None:
    """It has its own digest: damage to it is not taken for damage to the volumes."""
    raw = ENVELOPE.to_bytes()
    numbers = random.Random(5)
    for _ in range(300):
        damaged = bytearray(raw)
        damaged[numbers.randrange(len(raw))] ^= 1 << numbers.randrange(8)
        with pytest.raises(BundleFormatError):
            Envelope.parse(bytes(damaged))


def test_two_volumes_of_one_name_are_refused() -> None:
    """A file is one volume: the second one of its name would be looked for in vain."""
    with pytest.raises(BundleFormatError, match="same name"):
        Envelope.parse(_files(name="r.003.tar.age"))


def test_blocks_that_do_not_fit_into_memory_are_refused() -> None:
    """Nobody writes such, and whoever rebuilds a file reads a block of it at once."""
    with pytest.raises(BundleFormatError, match="too large"):
        Envelope.parse(_signed(block=1 << 40, files=[]))
