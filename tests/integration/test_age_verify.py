"""Checking encrypted files without a key, and the commands as people type them."""

from __future__ import annotations

import os
import random

import pytest

from airgap.bundle import check_encrypted
from airgap.bundle.check_encrypted import check_encrypted_bundle, is_encrypted
from airgap.bundle.envelope import Envelope, EnvelopeEntry
from airgap.bundle.finding import Finding
from airgap.errors import (
    BundleFormatError,
    CancelledError,
    ConflictError,
    ContentNotFoundError,
    DigestMismatchError,
)
from airgap.oci.digest import Digest
from airgap.run import Run
from tests.support.command_line import airgap

BLOCK = 1 << 16
SIZES = (5 * BLOCK + 100, 3 * BLOCK, 10)
BUNDLE = Digest.of(b"bundle")


@pytest.fixture
def folder(tmp_path):
    """Three files as if they were encrypted, and their envelope."""
    entries = []
    for number, size in enumerate(SIZES, 1):
        data = random.Random(number).randbytes(size)
        blocks = tuple(Digest.of(data[at : at + BLOCK]) for at in range(0, size, BLOCK))
        name = f"r.{number:03d}.tar.age"
        (tmp_path / name).write_bytes(data)
        entries.append(EnvelopeEntry(number, name, size, size - 5, blocks))
    envelope = Envelope(BUNDLE, 3, BLOCK, tuple(entries))
    (tmp_path / "r.airgap.json").write_bytes(envelope.to_bytes())
    return tmp_path


def check(folder, run=None, **options):
    return check_encrypted_bundle([folder], run=run or Run(), **options)


def flip(path, place):
    raw = bytearray(path.read_bytes())
    raw[place] ^= 1
    path.write_bytes(raw)


def places(findings: tuple[Finding, ...]):
    return [(f.kind, f.volume, f.offset, f.length) for f in findings]


def test_what_is_encrypted_is_not_said_to_hold_nothing(folder):
    """The command counts no images that it did not look for."""
    done = airgap("verify", "bundle", folder)
    assert f"{folder}: whole; what is in it is not known" in done.out.splitlines()


@pytest.mark.parametrize("read_back", [False, True])
def test_whole_files_have_no_findings_and_every_byte_was_read(folder, read_back):
    """Also from the medium itself."""
    report = check(folder, read_back=read_back)
    assert report.findings == ()
    assert report.bytes_checked == report.size == sum(SIZES)
    assert (report.bundle_id, report.volumes, report.exit_code) == (BUNDLE, 3, 0)


@pytest.mark.parametrize("place", [0, BLOCK - 1, BLOCK, 5 * BLOCK + 99])
def test_a_flipped_bit_is_found_with_its_block(folder, place):
    """Anywhere in the file, and it is told which bytes are in question."""
    flip(folder / "r.001.tar.age", place)
    report = check(folder)
    offset = place // BLOCK * BLOCK
    length = min(BLOCK, SIZES[0] - offset)
    assert places(report.findings) == [("digest-mismatch", 1, offset, length)]
    assert report.exit_code == 20


def test_damaged_blocks_that_follow_each_other_are_one_finding(folder):
    """A scratch is not told block by block."""
    for place in (1, BLOCK + 1, 3 * BLOCK):
        flip(folder / "r.001.tar.age", place)
    assert places(check(folder).findings) == [
        ("digest-mismatch", 1, 0, 2 * BLOCK),
        ("digest-mismatch", 1, 3 * BLOCK, BLOCK),
    ]


@pytest.mark.parametrize("kept", [0, 5, BLOCK, BLOCK + 7, SIZES[0] - 1])
def test_a_file_that_is_cut_short_lacks_bytes_and_has_no_other_damage(folder, kept):
    """What is missing is told once."""
    os.truncate(folder / "r.001.tar.age", kept)
    report = check(folder)
    assert places(report.findings) == [("cut-short", 1, kept, SIZES[0] - kept)]
    assert report.exit_code == 23


def test_a_file_that_goes_on_behind_its_end_is_found(folder):
    """Something was written into it."""
    with (folder / "r.003.tar.age").open("ab") as file:
        file.write(b"more")
    assert places(check(folder).findings) == [("size-mismatch", 3, 10, 4)]


def test_two_files_that_were_swapped_are_both_found(folder):
    """A name is no proof."""
    one, two = folder / "r.001.tar.age", folder / "r.002.tar.age"
    one.rename(folder / "x")
    two.rename(one)
    (folder / "x").rename(two)
    assert {f.volume for f in check(folder).findings} == {1, 2}


def test_a_missing_volume_and_one_that_was_never_finished_are_told_apart(folder):
    """One is on another medium, the other one nowhere."""
    (folder / "r.002.tar.age").unlink()
    report = check(folder)
    assert [(f.kind, f.volume) for f in report.findings] == [("missing-volume", 2)]
    assert report.missing_volumes == (2,)
    envelope = Envelope.parse((folder / "r.airgap.json").read_bytes())
    unfinished = Envelope(BUNDLE, 3, BLOCK, envelope.entries[::2], Digest.of(b"k"))
    (folder / "r.airgap.json").write_bytes(unfinished.to_bytes())
    report = check(folder)
    assert [(f.kind, f.volume) for f in report.findings] == [("unfinished", 2)]
    assert report.exit_code == 23


def test_a_medium_that_cannot_be_read_is_told_with_its_bytes(folder, monkeypatch):
    """The other blocks are checked all the same."""
    real = check_encrypted.read_into

    def broken(fd, buffers, offset):
        if offset == BLOCK and os.fstat(fd).st_size == SIZES[1]:
            raise OSError(5, "Input/output error")
        return real(fd, buffers, offset)

    monkeypatch.setattr(check_encrypted, "read_into", broken)
    report = check(folder)
    assert places(report.findings) == [("unreadable", 2, BLOCK, BLOCK)]
    assert report.exit_code == 30


def test_without_an_envelope_or_with_a_damaged_one_nothing_is_checked(folder):
    """Damage to the envelope is not taken for damage to the volumes."""
    flip(folder / "r.airgap.json", 50)
    with pytest.raises(BundleFormatError):
        check(folder)
    (folder / "r.airgap.json").unlink()
    with pytest.raises(ContentNotFoundError, match="not there"):
        check(folder)


def test_of_several_envelopes_the_expected_bundle_is_checked(folder):
    """Which one is meant is not guessed."""
    other = Envelope(Digest.of(b"other"), 1, BLOCK, ())
    (folder / "other.airgap.json").write_bytes(other.to_bytes())
    with pytest.raises(ConflictError):
        check(folder)
    assert check(folder, expect=BUNDLE).findings == ()
    with pytest.raises(DigestMismatchError):
        check_encrypted_bundle(
            [folder / "r.airgap.json"], run=Run(), expect=Digest.of(b"something else")
        )


def test_reading_back_drops_what_is_in_memory(folder, monkeypatch):
    """Of every encrypted file, and only when that is asked for."""
    dropped = []
    monkeypatch.setattr(check_encrypted, "drop_cache_file", dropped.append)
    check(folder)
    assert dropped == []
    check(folder, read_back=True)
    assert dropped == sorted(folder.glob("*.age"))


def test_a_check_can_be_stopped(folder):
    """Between chunks."""
    run = Run()
    run.cancel.cancel()
    with pytest.raises(CancelledError):
        check(folder, run)


def test_folders_of_plain_bundles_are_not_encrypted(folder, tmp_path_factory):
    """Nor is a key that lies alone."""
    plain = tmp_path_factory.mktemp("plain")
    (plain / "r.tar").write_bytes(b"x")
    (plain / "r.key.age").write_bytes(b"x")
    assert not is_encrypted([plain])
    assert not is_encrypted([plain / "r.tar"])
    assert is_encrypted([folder])
    assert is_encrypted([folder / "r.001.tar.age"])
    assert is_encrypted([folder / "r.airgap.json"])
