"""Signatures in the front of a bundle: carried by every way of writing and reading, not judged."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest

from airgap.bundle import members
from airgap.bundle.catalog import Catalog
from airgap.bundle.check import check_bundle
from airgap.bundle.discovery import read_placement
from airgap.bundle.finding import Finding
from airgap.bundle.front import check_readable
from airgap.bundle.layout import measure
from airgap.bundle.reader import open_bundle
from airgap.bundle.signed import MAX_SIGNATURES, check_signatures
from airgap.bundle.stream import BundleStream
from airgap.errors import BundleFormatError, ExitCode
from airgap.oci.document import canonical_bytes
from airgap.run import Run
from tests.support import bundles
from tests.support.bundles import SIGNATURES, make_bundle, pack, refusal, signed, unpack
from tests.support.volume_sets import fill, plan, split

NAME = "airgap/signatures.json"
PLAIN = make_bundle(layer_size=3000)
MADE = signed(PLAIN)
OTHER = canonical_bytes({"signatures": ["of somebody else"]})


def test_signatures_stand_behind_the_catalog_and_change_nothing_else() -> None:
    """One more member, the same bundle id, and everything else as it is without."""
    names = list(unpack(MADE.data))
    assert names[3:6] == ["airgap/catalog.json", NAME, "airgap/placement.json"]
    assert unpack(MADE.data)[NAME] == SIGNATURES
    assert MADE.catalog.id == PLAIN.catalog.id
    without = {n: c for n, c in unpack(MADE.data).items() if n != NAME}
    here, there = (unpack(made.data) for made in (PLAIN, MADE))
    changed = {name for name in without if here[name] != there[name]}
    assert changed == {"airgap/placement.json", "airgap/seal.json"}


def test_a_bundle_without_signatures_has_no_such_member() -> None:
    """It has the bytes that it had before there were signatures."""
    assert NAME not in unpack(PLAIN.data)
    assert signed(MADE, b"").data == PLAIN.data


def test_the_size_is_foreseen() -> None:
    """What a plan of volumes counts on is what the file has."""
    assert measure(MADE.catalog, MADE.documents) == len(MADE.data)


def test_a_file_gives_its_signatures(tmp_path: Path) -> None:
    """By seeking, with the catalog that they are for; its place is found as before."""
    path = MADE.write(tmp_path)
    assert read_placement(path) == MADE.layout.placement
    with open_bundle(path) as reader:
        assert reader.catalog == MADE.catalog
        assert reader.catalog.signatures == SIGNATURES
        for digest, content in MADE.contents.items():
            assert reader.read_blob(digest) == content


def test_a_pipe_gives_its_signatures_before_the_first_blob() -> None:
    """They are known as soon as the front is, and the rest passes up to the seal."""
    stream = BundleStream(io.BytesIO(MADE.data), run=Run())
    assert stream.front().catalog.signatures == SIGNATURES
    assert {blob.digest: b"".join(blob.chunks) for blob in stream.blobs()} == MADE.contents
    stream.finish()


def test_every_volume_carries_them(tmp_path: Path) -> None:
    """Each can be judged alone, before the others are there."""
    made = split(MADE, 1500)
    for data in made.data:
        assert unpack(data)[NAME] == SIGNATURES
    for path in made.write(tmp_path):
        with open_bundle(path, must_be_whole=False) as reader:
            assert reader.catalog.signatures == SIGNATURES
    with open_bundle(tmp_path) as reader:
        assert reader.catalog == MADE.catalog
    report = check_bundle(tmp_path, run=Run())
    assert report.findings == ()
    assert report.catalog == MADE.catalog


def test_signatures_in_one_volume_speak_for_all(tmp_path: Path) -> None:
    """Where one has lost them, those of another count; a check says which one has none."""
    shares = plan(MADE, 1500)
    whole = fill(MADE, shares)
    bare = fill(PLAIN, replace(shares, catalog=PLAIN.catalog))
    for lost in range(len(whole.data)):
        folder = tmp_path / str(lost)
        folder.mkdir()
        data = [*whole.data[:lost], bare.data[lost], *whole.data[lost + 1 :]]
        whole.write(folder, data)
        with open_bundle(folder) as reader:
            assert reader.catalog.signatures == SIGNATURES
        report = check_bundle(folder, run=Run())
        (finding,) = report.findings
        assert (finding.kind, finding.volume) == ("signature", lost + 1)
        assert "no signatures" in finding.message
        assert report.exit_code == ExitCode.SIGNATURE
        assert report.catalog is not None
        assert report.catalog.signatures == SIGNATURES
        assert report.blobs == len(MADE.contents)


def test_volumes_with_different_signatures_are_told_apart(tmp_path: Path) -> None:
    """The first volume's count; the other one is named."""
    shares = plan(MADE, 1500)
    whole = fill(MADE, shares)
    other = signed(PLAIN, OTHER)
    data = [*whole.data]
    data[1] = fill(other, replace(shares, catalog=other.catalog)).data[1]
    whole.write(tmp_path, data)
    with open_bundle(tmp_path) as reader:
        assert reader.catalog.signatures == SIGNATURES
    (finding,) = check_bundle(tmp_path, run=Run()).findings
    assert (finding.kind, finding.volume) == ("signature", 2)
    assert "other signatures" in finding.message


def test_a_check_asks_whoever_trusts(tmp_path: Path) -> None:
    """The judge gets the catalog with its signatures, and what it says is a finding."""
    asked: list[Catalog] = []

    def judge(catalog: Catalog) -> Finding | None:
        asked.append(catalog)
        return Finding("signature", "nobody knows this key")

    path = MADE.write(tmp_path)
    report = check_bundle(path, run=Run(), trust=judge)
    assert [(c.raw, c.signatures) for c in asked] == [(MADE.catalog.raw, SIGNATURES)]
    assert [f.message for f in report.findings] == ["nobody knows this key"]
    assert report.exit_code == ExitCode.SIGNATURE
    assert check_bundle(path, run=Run(), trust=lambda _: None).findings == ()


def test_damage_and_a_wrong_signature_are_both_said(tmp_path: Path) -> None:
    """A changed blob does not hide that the key is unknown; 21 goes before 20."""
    extent = MADE.layout.blobs[-1]
    path = MADE.write(tmp_path, bundles.flip(MADE.data, extent.offset))
    judged = Finding("signature", "nobody knows this key")
    report = check_bundle(path, run=Run(), trust=lambda _: judged)
    assert {f.kind for f in report.findings} == {"signature", "digest-mismatch"}
    assert report.exit_code == ExitCode.SIGNATURE


# -- what is refused ---------------------------------------------------------------------------


def changed(content: bytes) -> bytes:
    """The bundle with other content in the place of its signatures."""
    return pack((unpack(MADE.data) | {NAME: content}).items())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b"not json", "not valid JSON"),
        (b"<html>", "HTML"),
        (b'{"b":1,"a":2}', "canonical"),
        (SIGNATURES + b"\n", "canonical"),
        (b'{"a":1,"a":1}', "twice"),
        (b'{"a":' * 100 + b"1" + b"}" * 100, "nested"),
        (b'{"a":NaN}', "not JSON"),
        (b'{"a":"\xff"}', "not valid JSON"),
    ],
)
def test_signatures_that_are_no_canonical_object_are_refused(
    tmp_path: Path, content: bytes, words: str
) -> None:
    """Two readers must never see two documents in the same bytes."""
    error = refusal(tmp_path, changed(content))
    assert error.exit_code == 22
    assert words in error.message


def test_too_many_signatures_are_refused_by_their_header(tmp_path: Path) -> None:
    """Nothing of them is read."""
    parts = list(unpack(MADE.data).items())[:4]
    front = pack(parts)[: -len(members.END)]
    error = refusal(tmp_path, front + members.header(NAME, MAX_SIGNATURES + 1) + bytes(5000))
    assert error.exit_code == 22
    assert f"more than {MAX_SIGNATURES} are refused" in error.message


@pytest.mark.parametrize("position", [0, 1, 2, 3, 5, 6, 9])
def test_signatures_in_another_place_are_refused(tmp_path: Path, position: int) -> None:
    """They stand behind the catalog or nowhere."""
    parts = [(n, c) for n, c in unpack(MADE.data).items() if n != NAME]
    error = refusal(tmp_path, pack([*parts[:position], (NAME, SIGNATURES), *parts[position:]]))
    assert error.exit_code == 22
    assert position == 0 or "wrong place" in error.message


@pytest.mark.parametrize("second", [SIGNATURES, OTHER])
def test_signatures_that_stand_twice_are_refused(tmp_path: Path, second: bytes) -> None:
    """A second document of signatures is no more welcome when it is the same."""
    parts = list(unpack(MADE.data).items())
    error = refusal(tmp_path, pack([*parts[:5], (NAME, second), *parts[5:]]))
    assert error.exit_code == 22
    assert "twice" in error.message


def test_taking_the_signatures_away_breaks_the_file(tmp_path: Path) -> None:
    """Whoever only cuts them out leaves a placement and a seal that count on them."""
    parts = [(n, c) for n, c in unpack(MADE.data).items() if n != NAME]
    error = refusal(tmp_path, pack(parts))
    assert error.exit_code == 22
    assert "placement" in error.message


def test_other_signatures_of_the_same_size_do_not_fit_the_seal(tmp_path: Path) -> None:
    """A flipped bit in them is damage like any other."""
    damaged = SIGNATURES.replace(b"AAAA", b"AAAB")
    error = refusal(tmp_path, changed(damaged))
    assert error.exit_code == 22
    assert "seal" in error.message


@pytest.mark.parametrize("content", [b"[]", b'{"b":1,"a":2}', bytes(MAX_SIGNATURES + 1)])
def test_signatures_that_no_reader_takes_are_not_written(content: bytes) -> None:
    """An export says so before its first byte."""
    made = signed(PLAIN, content)
    with pytest.raises(BundleFormatError):
        check_readable(made.layout, made.documents)
    check_readable(MADE.layout, MADE.documents)


def test_the_limit_itself_is_taken() -> None:
    """One byte more is too much."""
    text = "x" * (MAX_SIGNATURES - len(b'{"a":""}'))
    raw = canonical_bytes({"a": text})
    assert check_signatures(raw) == raw
    with pytest.raises(BundleFormatError, match="more than"):
        check_signatures(canonical_bytes({"a": text + "x"}))
