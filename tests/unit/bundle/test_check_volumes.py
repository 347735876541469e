"""A check of volumes says which volume, which bytes of it, and whom that concerns."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from airgap.bundle import check_files, check_volume, members
from airgap.bundle.check import check_bundle
from airgap.bundle.check_set import affected_images
from airgap.bundle.finding import CheckReport, Finding
from airgap.bundle.placement import Extent
from airgap.bundle.survey import Survey
from airgap.errors import ContentNotFoundError, DigestMismatchError, ExitCode
from airgap.oci.digest import Digest
from airgap.run import Event, Run
from airgap.run.events import BlobAdvanced, Notice, PhaseStarted
from tests.support import builders, bundles
from tests.support.bundles import BundleBuilder, make_bundle, unpack
from tests.support.volume_sets import split

MADE = make_bundle(layer_size=3000)
SET = split(MADE, 1500)
CUT = max(SET.cut, key=lambda digest: len(MADE.contents[digest]))


@dataclasses.dataclass
class Recorder:
    """Keeps the events."""

    events: list[Event] = dataclasses.field(default_factory=list)

    def emit(self, event: Event, /) -> None:
        self.events.append(event)


def check(
    folder: Path, data: Sequence[bytes | None] = SET.data, *, jobs: int = 2
) -> tuple[CheckReport, list[Path]]:
    """Write volumes into a folder and check that."""
    paths = SET.write(folder, data)
    return check_bundle(folder, run=Run(), jobs=jobs), paths


def changed(index: int, offset: int, *, bit: int = 0) -> list[bytes]:
    """The volumes with one bit of one of them turned over."""
    data = list(SET.data)
    data[index] = bundles.flip(data[index], offset, bit)
    return data


def only(report: CheckReport, index: int, offset: int) -> Finding:
    """The one finding, which is in that volume and around that byte."""
    (finding,) = report.findings
    assert finding.path is not None
    assert finding.path.endswith(f"bundle.{index + 1:03d}.tar")
    assert finding.volume == index + 1
    assert finding.offset is not None
    assert finding.length is not None
    assert finding.offset <= offset < finding.offset + finding.length
    return finding


def image_names(digest: Digest) -> tuple[str, ...]:
    """The images that need a blob."""
    found = Survey(catalog=MADE.catalog, documents=MADE.documents)
    return affected_images([digest], found)[digest]


@pytest.mark.parametrize("jobs", [1, 4])
def test_whole_volumes_have_no_findings(tmp_path: Path, jobs: int) -> None:
    """Every byte was read, and cut blobs are counted once."""
    report, _ = check(tmp_path, jobs=jobs)
    assert report.findings == ()
    assert report.exit_code == ExitCode.OK
    assert report.bytes_checked == report.size == sum(map(len, SET.data))
    assert report.blobs == len(MADE.contents)
    assert report.manifests == len(MADE.documents)
    assert report.volumes == len(SET.data) == len(report.files)
    assert [file.volume for file in report.files] == list(range(1, len(SET.data) + 1))
    assert report.bundle_id == MADE.catalog.id
    assert report.notes == ()


def test_names_and_order_do_not_matter(tmp_path: Path) -> None:
    """Volumes swapped by name, in several folders and given backwards are those of the bundle."""
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    turned = SET.write(one, SET.data[::-1])
    turned[1] = turned[1].rename(other / "anything")
    report = check_bundle([one, other], run=Run())
    assert report.findings == ()
    assert report.volumes == len(SET.data)
    backwards = check_bundle([*turned[2:], turned[1], turned[0]], run=Run())
    assert backwards.findings == ()


@pytest.mark.parametrize("part", ["header", "content"])
def test_damage_of_a_blob_is_said_with_its_volume(tmp_path: Path, part: str) -> None:
    """The finding names the file and where in it, and the images that need the blob."""
    whole = [e for layout in SET.layouts for e in layout.blobs if e.start is None and e.length > 9]
    index, extent = next((i, e) for e in whole for i, _ in SET.holders(e.digest))
    offset = extent.offset - 400 if part == "header" else extent.offset + 3
    report, _ = check(tmp_path, changed(index, offset))
    finding = only(report, index, offset)
    if part == "content":
        assert finding.kind == "digest-mismatch"
        assert finding.digest == extent.digest
        assert finding.images == image_names(extent.digest) != ()


def test_damage_of_a_piece_is_said_of_that_piece_alone(tmp_path: Path) -> None:
    """Each piece in turn: the seals say which one is wrong, and the others are right."""
    for index, extent in SET.holders(CUT):
        report, _ = check(tmp_path, changed(index, extent.end - 1))
        finding = only(report, index, extent.end - 1)
        assert (finding.kind, finding.digest) == ("digest-mismatch", CUT)
        assert (finding.offset, finding.length) == (extent.offset, extent.length)
        assert finding.images == image_names(CUT) != ()
        assert report.blobs == len(MADE.contents) - 1


def test_pieces_are_checked_where_the_rest_of_the_blob_is_not_here(tmp_path: Path) -> None:
    """One volume alone is checked to its last byte."""
    index, extent = SET.holders(CUT)[1]
    path = SET.write(tmp_path)[index]
    others = {finding.kind for finding in check_bundle(path, run=Run()).findings}
    assert others == {"missing-volume"}
    path.write_bytes(bundles.flip(SET.data[index], extent.offset))
    found = [f for f in check_bundle(path, run=Run()).findings if f.kind != "missing-volume"]
    assert [(f.kind, f.digest, f.offset) for f in found] == [
        ("digest-mismatch", CUT, extent.offset)
    ]


def test_a_damaged_piece_is_found_though_its_seal_is_damaged_as_well(tmp_path: Path) -> None:
    """The blob's own digest counts; the piece of which nothing is known is the one to suspect."""
    index, extent = SET.holders(CUT)[0]
    data = changed(index, extent.offset)
    data[index] = bundles.flip(data[index], SET.layouts[index].placement.seal + 700)
    report, _ = check(tmp_path, data)
    found = {(f.kind, f.volume, f.offset) for f in report.findings}
    assert found == {
        ("digest-mismatch", index + 1, extent.offset),
        ("structure", index + 1, SET.layouts[index].placement.seal),
    }


def test_a_seal_that_lies_about_a_piece_is_seen_where_only_it_can_tell(tmp_path: Path) -> None:
    """With all volumes the blob's digest is right; a volume alone has no better witness."""
    index, extent = SET.holders(CUT)[0]
    layout = SET.layouts[index]
    lies = layout.tail(tuple(Digest.of(b"lie") for _ in layout.pieces))
    lying = SET.data[index][: layout.placement.seal] + lies
    data = [*SET.data[:index], lying, *SET.data[index + 1 :]]
    report, paths = check(tmp_path, data)
    assert report.findings == ()
    kinds = {(f.kind, f.offset) for f in check_bundle(paths[index], run=Run()).findings}
    assert ("digest-mismatch", extent.offset) in kinds


@pytest.mark.parametrize("name", ["index.json", "airgap/catalog.json", "airgap/placement.json"])
@pytest.mark.parametrize("part", ["header", "content"])
def test_damage_of_the_front_is_said_with_its_member(tmp_path: Path, name: str, part: str) -> None:
    """Another volume says what must stand there, so that nothing else seems wrong."""
    content = SET.data[1].index(unpack(SET.data[1])[name])
    offset = content - 400 if part == "header" else content + 30
    report, _ = check(tmp_path, changed(1, offset))
    assert only(report, 1, offset).kind == "structure"
    assert report.exit_code == ExitCode.BUNDLE_FORMAT
    assert report.blobs == len(MADE.contents)


def test_damage_of_a_manifest_is_said_of_its_volume(tmp_path: Path) -> None:
    """Every volume holds it: it is wrong in one, and that concerns its images."""
    extent = SET.layouts[2].placement.extents[3]
    report, _ = check(tmp_path, changed(2, extent.offset + 9))
    finding = only(report, 2, extent.offset + 9)
    assert (finding.kind, finding.digest) == ("digest-mismatch", extent.digest)
    assert finding.images


def test_damage_of_a_seal_is_found(tmp_path: Path) -> None:
    """Also in what it says of pieces."""
    index, _ = SET.holders(CUT)[0]
    offset = SET.data[index].index(b'"pieces"') + 30
    report, _ = check(tmp_path, changed(index, offset))
    assert only(report, index, offset).kind == "structure"
    assert report.blobs == len(MADE.contents)


def test_a_front_of_zeros_is_described_by_the_other_volumes(tmp_path: Path) -> None:
    """The seal still says which volume this is, and the blobs behind the front are right."""
    data = list(SET.data)
    data[1] = bytes(len(SET.layouts[1].front)) + data[1][len(SET.layouts[1].front) :]
    report, _ = check(tmp_path, data)
    assert report.missing_volumes == ()
    assert {finding.volume for finding in report.findings} == {2}
    assert report.blobs == len(MADE.contents)


def test_a_missing_volume_is_told_with_its_images_before_anything_is_hashed(
    tmp_path: Path,
) -> None:
    """A warning comes first; the finding has no file; exit 23."""
    recorder = Recorder()
    lost, _ = SET.holders(CUT)[1]
    SET.write(tmp_path, [None if n == lost else data for n, data in enumerate(SET.data)])
    report = check_bundle(tmp_path, run=Run(reporter=recorder))
    (finding,) = report.findings
    assert (finding.kind, finding.volume, finding.path) == ("missing-volume", lost + 1, None)
    assert set(finding.images) >= set(image_names(CUT))
    assert report.missing_volumes == (lost + 1,)
    assert report.exit_code == ExitCode.INCOMPLETE
    first = recorder.events[0]
    assert isinstance(first, Notice)
    assert f"volume {lost + 1} of {len(SET.data)} is missing" in first.message
    assert isinstance(recorder.events[1], PhaseStarted)
    here = {e.digest for n, s in enumerate(SET.layouts) if n != lost for e in s.blobs}
    gone = {e.digest for e in SET.layouts[lost].blobs}
    assert report.blobs == len(here - gone)


def test_only_the_images_in_a_missing_volume_are_named(tmp_path: Path) -> None:
    """What lies in other volumes is not lost."""
    bundle = BundleBuilder()
    for seed in range(4):
        bundle.add(builders.image(layers=(2000,), seed=seed), f"example.com/image:{seed}")
    made = bundle.build()
    volumes = split(made, 2500)
    volumes.write(tmp_path, [*volumes.data[:-1], None])
    (finding,) = check_bundle(tmp_path, run=Run()).findings
    last = {extent.digest for extent in volumes.layouts[-1].blobs}
    wanted = {
        image.reference.tagged
        for image in made.catalog.images
        if last & {blob.digest for blob in made.documents[image.digest].blobs()}
    }
    assert set(finding.images) == wanted != {i.reference.tagged for i in made.catalog.images}


def test_a_volume_that_is_here_twice_is_noted_and_both_are_checked(tmp_path: Path) -> None:
    """That is no problem, unless one of them is damaged."""
    index, extent = SET.holders(CUT)[0]
    _, paths = check(tmp_path)
    copy = tmp_path / "copy.tar"
    copy.write_bytes(SET.data[index])
    report = check_bundle([tmp_path], run=Run())
    assert report.findings == ()
    assert [f"volume {index + 1} is here more than once" in note for note in report.notes] == [True]
    assert report.bytes_checked == report.size == sum(map(len, SET.data)) + len(SET.data[index])
    for damaged in (copy, paths[index]):
        damaged.write_bytes(bundles.flip(SET.data[index], extent.offset))
        (finding,) = check_bundle([tmp_path], run=Run()).findings
        assert (finding.path, finding.offset) == (str(damaged), extent.offset)
        damaged.write_bytes(SET.data[index])


def test_a_volume_of_another_bundle_is_told_apart(tmp_path: Path) -> None:
    """Exit 22; it does not stand in for the one that is missing."""
    other = split(make_bundle(layer_size=2999), 1500)
    data = [*SET.data[:1], other.data[1], *SET.data[2:]]
    report, paths = check(tmp_path, data)
    kinds = {(f.kind, f.path) for f in report.findings}
    assert kinds == {("missing-volume", None), ("other-bundle", str(paths[1]))}
    assert report.exit_code == ExitCode.BUNDLE_FORMAT
    assert report.bundle_id == MADE.catalog.id


def test_volumes_of_another_size_are_told_apart(tmp_path: Path) -> None:
    """The same bundle shared out otherwise does not fit, whatever its id is."""
    other = split(MADE, 2500)
    data = [*SET.data[:1], other.data[1], *SET.data[2:]]
    report, paths = check(tmp_path, data)
    kinds = {(f.kind, f.path) for f in report.findings}
    assert kinds == {("missing-volume", None), ("other-bundle", str(paths[1]))}


def test_the_expected_bundle_is_the_one_that_is_checked(tmp_path: Path) -> None:
    """Also where more files belong to another one; and none of them is an error at once."""
    other = split(make_bundle(layer_size=2999), 1500)
    paths = SET.write(tmp_path, [SET.data[0], *other.data[1:]])
    report = check_bundle(paths, run=Run(), expect=MADE.catalog.id)
    assert report.bundle_id == MADE.catalog.id
    assert report.missing_volumes == tuple(range(2, len(SET.data) + 1))
    with pytest.raises(DigestMismatchError):
        check_bundle(paths, run=Run(), expect=Digest.of(b"none"))


@pytest.mark.parametrize("fraction", range(10))
def test_a_volume_that_is_cut_short_is_not_called_missing(tmp_path: Path, fraction: int) -> None:
    """Its front is there or is said by another volume, and the exit code is 23."""
    layout = SET.layouts[1]
    cut = len(layout.front) + (len(SET.data[1]) - len(layout.front)) * fraction // 10
    data = list(SET.data)
    data[1] = data[1][:cut]
    report, paths = check(tmp_path, data)
    assert report.missing_volumes == ()
    assert {f.path for f in report.findings} == {str(paths[1])}
    assert "cut-short" in {f.kind for f in report.findings}
    lost = {extent.digest for extent in layout.placement.extents if extent.end > cut}
    assert {f.digest for f in report.findings if f.kind == "missing"} == lost
    assert report.exit_code == ExitCode.INCOMPLETE


def test_other_files_in_a_folder_are_left_aside(tmp_path: Path) -> None:
    """A tar of something else is noted, other files are not even looked at."""
    SET.write(tmp_path)
    other = tmp_path / "photos.tar"
    other.write_bytes(bundles.pack([("photo.jpg", b"x" * 2000)]))
    (tmp_path / "release.sha256").write_text("0  x\n")
    report = check_bundle(tmp_path, run=Run())
    assert report.findings == ()
    assert report.notes == (f"{other} is no bundle, and is left aside",)


def test_a_folder_without_a_bundle_is_an_error(tmp_path: Path) -> None:
    """There is nothing to report on."""
    (tmp_path / "x.tar").write_bytes(b"")
    with pytest.raises(ContentNotFoundError):
        check_bundle(tmp_path, run=Run())


def test_an_error_of_the_medium_within_a_piece_is_said_of_that_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other pieces are checked all the same."""
    index, bad = SET.holders(CUT)[1]
    paths = SET.write(tmp_path)
    number = paths[index].stat().st_ino
    real = check_volume.read_into

    def failing(fd: int, buffers: list[memoryview], offset: int) -> int:
        if os.fstat(fd).st_ino == number and bad.offset <= offset < bad.end:
            raise OSError(5, "Input/output error")
        return real(fd, buffers, offset)

    monkeypatch.setattr(check_volume, "read_into", failing)
    report = check_bundle(tmp_path, run=Run())
    (finding,) = report.findings
    assert (finding.kind, finding.path, finding.offset) == (
        "unreadable",
        str(paths[index]),
        bad.offset,
    )
    assert finding.images
    assert report.exit_code == ExitCode.STORAGE


def test_each_byte_is_hashed_once(tmp_path: Path) -> None:
    """The progress of a check without findings adds up to the bytes of all blobs."""
    recorder = Recorder()
    SET.write(tmp_path)
    check_bundle(tmp_path, run=Run(reporter=recorder), jobs=3)
    start = next(e for e in recorder.events if isinstance(e, PhaseStarted))
    last = {e.descriptor.digest: e.offset for e in recorder.events if isinstance(e, BlobAdvanced)}
    assert start.total_bytes == start.done_bytes + sum(last.values())
    assert sum(last.values()) == sum(map(len, MADE.contents.values()))


def test_reading_back_drops_what_is_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file is dropped before its first byte is read; without the option none is."""
    dropped: list[Path] = []
    monkeypatch.setattr(check_files, "drop_cache_file", dropped.append)
    paths = SET.write(tmp_path)
    check_bundle(tmp_path, run=Run())
    assert dropped == []
    assert check_bundle(tmp_path, run=Run(), read_back=True).findings == ()
    assert dropped == paths


def test_every_member_and_what_is_between_them_is_covered(tmp_path: Path) -> None:
    """The first and last bit of every header, content and filling of one volume."""
    index, _ = SET.holders(CUT)[0]
    layout = SET.layouts[index]

    def edges(extent: Extent) -> list[int]:
        head = extent.offset - len(members.header(extent.name, extent.length))
        end = extent.offset + members.padded(extent.length)
        return [head, extent.offset - 1, extent.offset, extent.end - 1, end - 1]

    offsets = {o for extent in layout.placement.extents for o in edges(extent)}
    offsets |= {layout.placement.seal, layout.size - 1, 0}
    for offset, bit in itertools.product(sorted(offsets), (0, 7)):
        report, _ = check(tmp_path, changed(index, offset, bit=bit))
        only(report, index, offset)
