"""A signed bundle is written, continued, moved and rebuilt with its signatures."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest

from airgap.bundle.check import check_bundle
from airgap.bundle.lost import original_layout
from airgap.bundle.pipe import PipeWriter
from airgap.bundle.reader import open_bundle
from airgap.bundle.survey import Survey, survey_file
from airgap.bundle.volumes import plan_volumes
from airgap.oci.digest import Digest
from airgap.oci.document import canonical_bytes
from airgap.run import Run
from airgap.transfer.repair import RepairResult, repair_bundle
from airgap.transfer.spread_state import SpreadFolder, SpreadState
from tests.support import bundles
from tests.support.bundles import SIGNATURES, MadeBundle, make_bundle, pack, signed, unpack
from tests.support.volume_sets import fill, plan, split
from tests.support.volume_writing import opened as opened_volumes
from tests.support.volume_writing import state, volumes
from tests.support.writing import BIG, bundle_of, opened, put, write, write_volumes

NAME = "airgap/signatures.json"
PLAIN = make_bundle(layer_size=3000)
MADE = signed(PLAIN)


def test_a_file_is_written_with_them(tmp_path: Path) -> None:
    """Byte for byte what was planned."""
    write(tmp_path / "made.tar", MADE)
    assert (tmp_path / "made.tar").read_bytes() == MADE.data


def test_volumes_are_written_with_them(tmp_path: Path) -> None:
    """Each of them."""
    shares = plan(MADE, 1500)
    write_volumes(tmp_path / "made.tar", MADE, shares)
    written = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    assert written == list(fill(MADE, shares).data)


def test_a_pipe_is_written_with_them() -> None:
    """The bytes of the file, in its order."""
    stream = io.BytesIO()
    writer = PipeWriter(stream, run=Run())
    writer.begin(MADE.layout)
    put(writer, MADE.layout, MADE.contents)
    writer.finish()
    assert stream.getvalue() == MADE.data


@pytest.mark.parametrize(("before", "after"), [(MADE, MADE), (PLAIN, MADE), (MADE, PLAIN)])
def test_an_export_is_continued_whatever_was_signed_before(
    tmp_path: Path, before: MadeBundle, after: MadeBundle
) -> None:
    """What is there is moved to where it goes now, and nothing is fetched twice."""
    target = tmp_path / "made.tar"
    with opened(target) as writer:
        writer.begin(before.plan)
        put(writer, before.layout, before.contents, limit=4)
    total = sum(map(len, MADE.contents.values()))
    fetched = write(target, after)
    assert 0 < fetched < total
    assert target.read_bytes() == after.data


@pytest.mark.parametrize(("before", "after"), [(MADE, MADE), (PLAIN, MADE), (MADE, PLAIN)])
def test_volumes_are_continued_whatever_was_signed_before(
    tmp_path: Path, before: MadeBundle, after: MadeBundle
) -> None:
    """Each volume in the end is that of an export that was signed so from the beginning."""
    folder = tmp_path / "out"
    folder.mkdir()
    target = folder / "release.tar"
    with opened_volumes(target) as writer:
        writer.begin(plan(before, 4000))
        put(writer, before.layout, before.contents, limit=6)
    write_volumes(target, after, plan(after, 4000))
    assert state(target) == volumes(after, 4000)


def test_a_plan_for_several_media_is_frozen_with_its_signatures(tmp_path: Path) -> None:
    """Whoever goes on with the next medium needs no key."""
    whole = signed(bundle_of([BIG * 30, BIG * 20]))
    frozen = plan_volumes(whole.catalog, whole.documents, volume_size=1 << 20)
    assert frozen.count > 1
    folder = SpreadFolder(tmp_path / "state")
    folder.begin(SpreadState(Digest.of(b"request"), 1 << 20, (), (), "", ()), frozen)
    found = folder.load()
    folder.close()
    assert found is not None
    assert found[1].catalog.signatures == SIGNATURES
    assert found[1] == frozen


# -- rebuilding --------------------------------------------------------------------------------


def repair(path: Path, folder: Path, made: MadeBundle = MADE) -> RepairResult:
    """Repair with another copy of the bundle, in one file."""
    place = folder / "copy"
    place.mkdir(exist_ok=True)
    with open_bundle(made.write(place)) as copy:
        return repair_bundle([path], copies=lambda *_: [copy])


def survey(path: Path) -> Survey:
    """What is known of a file."""
    with path.open("rb") as stream:
        return survey_file(stream, name=str(path), size=path.stat().st_size)


def test_a_lost_volume_gets_its_signatures_back(tmp_path: Path) -> None:
    """From the volumes that are left, also where the copy with the blobs is not signed."""
    made = split(MADE, 1500)
    medium = tmp_path / "medium"
    medium.mkdir()
    paths = made.write(medium)
    paths[1].unlink()
    done = repair(medium, tmp_path, PLAIN)
    assert done.after.findings == ()
    assert unpack(paths[1].read_bytes())[NAME] == SIGNATURES


@pytest.mark.parametrize("number", [0, 2])
@pytest.mark.parametrize(
    "damage", [lambda at: at + 3, lambda at: at + SIGNATURES.index(b"AAAA"), lambda at: at - 500]
)
def test_damaged_signatures_of_a_volume_are_made_good(tmp_path: Path, number: int, damage) -> None:
    """Broken JSON, a flipped letter, a broken header: others say what stood there."""
    made = split(MADE, 1500)
    medium = tmp_path / "medium"
    medium.mkdir()
    paths = made.write(medium)
    offset = damage(made.data[number].index(SIGNATURES))
    paths[number].write_bytes(bundles.flip(made.data[number], offset))
    assert check_bundle(medium, run=Run()).findings
    done = repair(medium, tmp_path, PLAIN)
    assert done.after.findings == ()
    assert [path.read_bytes() for path in paths] == list(made.data)


@pytest.mark.parametrize("at", [3, SIGNATURES.index(b"AAAA")])
def test_damaged_signatures_of_a_file_come_from_a_copy_or_stay_damaged(
    tmp_path: Path, at: int
) -> None:
    """Wrong signatures never get a seal that calls them right."""
    offset = MADE.data.index(SIGNATURES) + at
    path = MADE.write(tmp_path, bundles.flip(MADE.data, offset))
    assert original_layout(survey(path), b"") is None
    before = path.read_bytes()
    done = repair(path, tmp_path, PLAIN)
    assert done.after.findings
    assert path.read_bytes() == before
    done = repair(path, tmp_path)
    assert done.after.findings == ()
    assert path.read_bytes() == MADE.data


def test_a_damaged_blob_of_a_signed_file_is_the_only_finding(tmp_path: Path) -> None:
    """Signatures are no damage, and a rebuilt file has them."""
    extent = MADE.layout.blobs[-1]
    path = MADE.write(tmp_path, bundles.flip(MADE.data, extent.offset))
    (finding,) = check_bundle(path, run=Run()).findings
    assert finding.digest == extent.digest
    repair(path, tmp_path, PLAIN)
    assert path.read_bytes() == MADE.data


def test_a_damaged_front_does_not_make_all_else_seem_wrong(tmp_path: Path) -> None:
    """Where the placement is damaged, everything is still looked for behind the signatures."""
    offset = MADE.data.index(b"airgap/placement.json") + 700
    path = MADE.write(tmp_path, bundles.flip(MADE.data, offset))
    report = check_bundle(path, run=Run())
    assert [finding.kind for finding in report.findings] == ["structure"]
    assert report.blobs == len(MADE.contents)
    assert report.catalog is not None
    assert report.catalog.signatures == SIGNATURES


@pytest.mark.parametrize("member", ["index.json", "airgap/catalog.json", "airgap/placement.json"])
def test_a_damaged_front_of_a_volume_is_the_only_finding(tmp_path: Path, member: str) -> None:
    """What is compared with a sound volume is compared with its signatures in between."""
    made = split(MADE, 1500)
    paths = made.write(tmp_path)
    offset = made.data[1].index(member.encode()) + 600
    paths[1].write_bytes(bundles.flip(made.data[1], offset))
    report = check_bundle(tmp_path, run=Run())
    (finding,) = report.findings
    assert finding.volume == 2
    assert member in finding.message
    assert report.blobs == len(MADE.contents)


def test_a_damaged_volume_with_longer_signatures_is_read_by_its_own(tmp_path: Path) -> None:
    """Where everything lies in a volume depends on how long its own signatures are."""
    shares = plan(MADE, 1500)
    longer = signed(PLAIN, canonical_bytes({"signatures": ["of somebody else" + "x" * 2000]}))
    made, theirs = fill(MADE, shares), fill(longer, replace(shares, catalog=longer.catalog))
    data = [*made.data]
    data[1] = bundles.flip(theirs.data[1], theirs.data[1].index(b"index.json") + 600)
    made.write(tmp_path, data)
    report = check_bundle(tmp_path, run=Run())
    (finding,) = report.findings
    assert (finding.kind, finding.volume) == ("structure", 2)
    assert "index.json" in finding.message
    assert report.blobs == len(MADE.contents)


def test_signatures_of_a_bundle_in_a_layer_are_not_taken_for_its_own(tmp_path: Path) -> None:
    """What is damaged is searched, but not in the content."""
    inner = pack([(NAME, b'{"of":"another bundle"}')])
    made = bundles.tiny_bundle(layers=(inner,))
    path = made.write(tmp_path, bundles.flip(made.data, 10))
    found = survey(path)
    assert found.catalog == replace(made.catalog, signatures=b"")
    assert found.layout == made.layout
