"""A check reads everything once and reports everything that is wrong, with what it concerns."""

import tracemalloc
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from airgap.bundle import members
from airgap.bundle.check import check_bundle
from airgap.bundle.finding import EXITS, CheckReport, Finding
from airgap.content.store import CHUNK_SIZE
from airgap.errors import CancelledError, ContentNotFoundError, ExitCode
from airgap.oci.digest import Digest
from airgap.run import CancelToken, Event, Run
from airgap.run.events import BlobAdvanced, BlobFinished, PhaseFinished, PhaseStarted
from tests.support import builders, bundles
from tests.support.bundles import (
    BundleBuilder,
    assemble,
    make_bundle,
    member,
    pack,
    tiny_bundle,
    unpack,
)

MADE = make_bundle()
APP = ("example.com/team/app:1.4", "example.com/team/app:latest")


@dataclass
class Recorder:
    """Keeps the events, and may cancel at one."""

    token: CancelToken = field(default_factory=CancelToken)
    cancel_at: int = -1
    events: list[Event] = field(default_factory=list)

    def emit(self, event: Event, /) -> None:
        self.events.append(event)
        if len(self.events) == self.cancel_at:
            self.token.cancel()


def check(tmp_path: Path, data: bytes, *, jobs: int = 2) -> CheckReport:
    path = tmp_path / "bundle.tar"
    path.write_bytes(data)
    report = check_bundle(path, run=Run(), jobs=jobs)
    assert list(tmp_path.iterdir()) == [path]
    for finding in report.findings:
        assert "\n" not in finding.message
    return report


def layer_of(name: str) -> Digest:
    """The first layer of an image, or of the first manifest of an index."""
    image = next(i for i in MADE.catalog.images if i.reference.tagged == name)
    return MADE.documents[image.load or image.digest].layers[0].digest


def offset_of(digest: Digest) -> int:
    return next(e.offset for e in MADE.layout.placement.extents if e.digest == digest)


@pytest.mark.parametrize("jobs", [1, 4])
def test_a_whole_bundle_has_no_findings(tmp_path: Path, jobs: int) -> None:
    """Every byte was read, and every manifest and blob counted."""
    report = check(tmp_path, MADE.data, jobs=jobs)
    assert report.findings == ()
    assert report.exit_code == ExitCode.OK
    assert report.bytes_checked == report.size == len(MADE.data)
    assert report.bundle_id == MADE.catalog.id
    assert report.images == len(MADE.catalog.images)
    assert report.manifests == len(MADE.documents)
    assert report.blobs == len(MADE.contents)


def test_a_flipped_bit_in_a_layer_names_the_images(tmp_path: Path) -> None:
    """Exit 20, the digest, its place, and all the images that share the layer."""
    shared = layer_of("example.com/tool:2")
    report = check(tmp_path, bundles.flip(MADE.data, offset_of(shared) + 5))
    (finding,) = report.findings
    assert report.exit_code == ExitCode.INTEGRITY
    assert finding.kind == "digest-mismatch"
    assert finding.digest == shared
    assert finding.offset == offset_of(shared)
    assert finding.images == (*APP, "example.com/tool:2")
    assert report.blobs == len(MADE.contents) - 1


def test_a_flipped_bit_in_a_referrer_names_the_image_that_it_refers_to(tmp_path: Path) -> None:
    """A damaged signature of an SBOM concerns the image at the end of the chain."""
    report = check(tmp_path, bundles.flip(MADE.data, offset_of(Digest.of(b"signed"))))
    assert [finding.images for finding in report.findings] == [APP]


def test_every_finding_is_reported(tmp_path: Path) -> None:
    """Damage in many places gives as many findings, in the order of the file."""
    data = MADE.data
    damaged = [extent for extent in MADE.layout.blobs if extent.length > 10][:4]
    for extent in damaged:
        data = bundles.flip(data, extent.offset + 3)
    data = bundles.flip(data, MADE.layout.blobs[0].end)
    report = check(tmp_path, data)
    assert len(report.findings) == 5
    assert {f.digest for f in report.findings if f.digest} == {e.digest for e in damaged}
    offsets = [f.offset for f in report.findings]
    assert offsets == sorted(offsets)
    assert report.exit_code == ExitCode.BUNDLE_FORMAT


def test_damaged_manifests_are_each_reported(tmp_path: Path) -> None:
    """The check goes on behind a front that does not open."""
    extents = MADE.layout.placement.extents[:3]
    data = MADE.data
    for extent in extents:
        data = bundles.flip(data, extent.offset + 40)
    layer = MADE.layout.blobs[-1]
    data = bundles.flip(data, layer.offset)
    report = check(tmp_path, data)
    assert {f.digest for f in report.findings} == {e.digest for e in (*extents, layer)}
    assert report.exit_code == ExitCode.INTEGRITY
    assert report.manifests == len(MADE.documents) - 3
    assert report.bundle_id == MADE.catalog.id


@pytest.mark.parametrize("name", ["oci-layout", "index.json", "manifest.json"])
def test_a_document_for_other_engines_is_compared(tmp_path: Path, name: str) -> None:
    """What docker would read is made again from the catalog, and the difference is found."""
    start = MADE.data.index(unpack(MADE.data)[name])
    report = check(tmp_path, bundles.flip(MADE.data, start + 5))
    (finding,) = report.findings
    assert finding.kind == "structure"
    assert name in finding.message


def test_a_changed_catalog_is_no_longer_the_bundle(tmp_path: Path) -> None:
    """It parses, but is not what the seal names: no bundle id is given."""
    start = MADE.data.index(b'"name":"example.com/tool:2"')
    report = check(tmp_path, bundles.replace(MADE.data, start + 8, b"f"))
    assert report.exit_code == ExitCode.BUNDLE_FORMAT
    assert report.bundle_id is None
    assert {finding.kind for finding in report.findings} == {"structure"}


def test_blobs_are_still_checked_without_a_catalog(tmp_path: Path) -> None:
    """Where the catalog cannot be read, the seal says where the blobs lie."""
    start = MADE.data.index(unpack(MADE.data)["airgap/catalog.json"])
    data = bundles.flip(MADE.data, start)
    layer = MADE.layout.blobs[-1]
    report = check(tmp_path, bundles.flip(data, layer.offset))
    assert layer.digest in {finding.digest for finding in report.findings}
    assert report.exit_code == ExitCode.BUNDLE_FORMAT
    assert report.blobs == len(MADE.contents) + len(MADE.documents) - 1


@pytest.mark.parametrize("part", ["header", "content"])
def test_a_damaged_placement_is_made_again(tmp_path: Path, part: str) -> None:
    """The seal holds it, too, so the rest of the file is still checked."""
    content = unpack(MADE.data)["airgap/placement.json"]
    start = MADE.data.index(content) + (40 if part == "content" else -300)
    layer = MADE.layout.blobs[-1]
    data = bundles.flip(bundles.flip(MADE.data, start), layer.offset)
    report = check(tmp_path, data)
    assert any("placement" in finding.message for finding in report.findings)
    assert layer.digest in {finding.digest for finding in report.findings}


@pytest.mark.parametrize("fraction", range(1, 20))
def test_a_cut_file_lacks_something_and_is_not_called_damaged(
    tmp_path: Path, fraction: int
) -> None:
    """Wherever it is cut, the exit code is 23."""
    report = check(tmp_path, MADE.data[: len(MADE.data) * fraction // 20])
    assert report.exit_code == ExitCode.INCOMPLETE


def test_a_cut_file_names_every_missing_blob_and_its_images(tmp_path: Path) -> None:
    """What lies behind the cut is listed, each with the images that lack it."""
    cut = MADE.layout.blobs[4].offset + 1
    report = check(tmp_path, MADE.data[:cut])
    missing = {f.digest: f for f in report.findings if f.kind == "missing"}
    assert set(missing) == {extent.digest for extent in MADE.layout.blobs[4:]}
    assert all(finding.images for finding in missing.values())
    (cut_short,) = [f for f in report.findings if f.kind == "cut-short"]
    assert str(len(MADE.data) - cut) in cut_short.message
    assert report.blobs == 4
    assert report.bytes_checked <= MADE.layout.blobs[4].offset


def test_a_file_cut_in_its_front_still_names_what_is_missing(tmp_path: Path) -> None:
    """The catalog alone says what should have come."""
    cut = MADE.layout.placement.extents[2].offset
    report = check(tmp_path, MADE.data[:cut])
    missing = {f.digest for f in report.findings if f.digest}
    wanted = {e.digest for e in MADE.layout.placement.extents if e.end > cut}
    assert missing == wanted


def test_a_lost_seal_is_found(tmp_path: Path) -> None:
    """A file of zeros behind its blobs was never finished: exit 23."""
    data = MADE.data[: MADE.layout.placement.seal].ljust(len(MADE.data), b"\0")
    report = check(tmp_path, data)
    assert report.exit_code == ExitCode.INCOMPLETE
    assert report.blobs == len(MADE.contents)


def test_a_damaged_seal_is_found(tmp_path: Path) -> None:
    """Exit 22, and all the blobs are right."""
    report = check(tmp_path, bundles.flip(MADE.data, MADE.layout.placement.seal + 900))
    assert report.exit_code == ExitCode.BUNDLE_FORMAT
    assert report.blobs == len(MADE.contents)


def test_bytes_behind_the_end_are_found(tmp_path: Path) -> None:
    """They are unexplained: exit 22."""
    report = check(tmp_path, MADE.data + bytes(10))
    (finding,) = report.findings
    assert (finding.kind, finding.length) == ("unexplained", 10)


def test_a_second_member_is_found(tmp_path: Path) -> None:
    """A member that stands twice moves all behind it, and is named."""
    parts = list(unpack(MADE.data).items())
    report = check(tmp_path, pack([*parts[:-2], parts[-3], *parts[-2:]]))
    assert report.exit_code == ExitCode.BUNDLE_FORMAT
    assert any("stands twice" in finding.message for finding in report.findings)


def test_a_link_in_the_place_of_a_layer_is_found(tmp_path: Path) -> None:
    """Only the header differs: it is compared all the same."""
    extent = MADE.layout.blobs[-1]
    name = f"blobs/sha256/{extent.digest.hex}"
    head = bundles.reheader(members.header(name, extent.length), {156: b"2"})
    report = check(tmp_path, bundles.replace(MADE.data, extent.offset - 512, head))
    (finding,) = report.findings
    assert "a symbolic link" in finding.message
    assert finding.offset == extent.offset - 512


def test_content_that_is_missing_and_not_listed_is_found(tmp_path: Path) -> None:
    """Every gap in the closure is reported, with the images that need it."""
    made = tiny_bundle(layers=(b"one", b"two", b"three"))
    kept = dict(list(made.contents.items())[:2])
    report = check(tmp_path, assemble(made.documents, kept, images=made.catalog.images).data)
    assert [f.kind for f in report.findings] == ["missing", "missing"]
    assert {f.digest for f in report.findings} == set(made.contents) - set(kept)
    assert all(f.images == ("example.com/tiny:1",) for f in report.findings)
    assert report.exit_code == ExitCode.INCOMPLETE
    assert report.bundle_id is not None


def test_content_of_another_size_than_its_manifest_says_is_found(tmp_path: Path) -> None:
    """The catalog may not say another size than the manifest: exit 20."""
    made = tiny_bundle()
    digest, content = list(made.contents.items())[-1]
    longer = made.contents | {digest: content + b"!"}
    report = check(tmp_path, assemble(made.documents, longer, images=made.catalog.images).data)
    assert report.exit_code == ExitCode.INTEGRITY
    assert {f.kind for f in report.findings} == {"size-mismatch", "digest-mismatch"}


def test_content_that_nothing_asks_for_is_found(tmp_path: Path) -> None:
    """A blob or an image that rides along without a name is unexplained: exit 22."""
    bundle = BundleBuilder()
    bundle.add(builders.image(seed=1), "example.com/a:1")
    stowaway = bundle.add(builders.image(seed=2))
    report = check(tmp_path, bundle.build().data)
    assert stowaway.digest in {f.digest for f in report.findings}
    assert {f.kind for f in report.findings} == {"unexplained"}
    assert report.exit_code == ExitCode.BUNDLE_FORMAT


def test_a_referrer_of_what_is_not_here_is_found(tmp_path: Path) -> None:
    """A signature without its image explains nothing."""
    bundle = BundleBuilder()
    image = builders.image(seed=1)
    bundle.refer("example.com/a", image, builders.sbom(image.descriptor))
    report = check(tmp_path, bundle.build().data)
    (finding,) = report.findings
    assert finding.kind == "unexplained"
    assert str(image.digest) in finding.message


def test_what_is_no_bundle_is_one_finding(tmp_path: Path) -> None:
    """A file of anything gets one clear line with a hint, exit 22."""
    for data in (b"", b"hello", b"\x1f\x8b" + bytes(3000), bytes(range(256)) * 20):
        report = check(tmp_path, data)
        (finding,) = report.findings
        assert finding.hint
        assert report.exit_code == ExitCode.BUNDLE_FORMAT
        assert report.bundle_id is None


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """There is nothing to report on."""
    with pytest.raises(ContentNotFoundError):
        check_bundle(tmp_path / "none.tar", run=Run())


def test_progress_adds_up_to_the_total(tmp_path: Path) -> None:
    """The last offsets of all blobs and what was done before make the total."""
    recorder = Recorder()
    check_bundle(MADE.write(tmp_path), run=Run(reporter=recorder), jobs=3)
    start = next(e for e in recorder.events if isinstance(e, PhaseStarted))
    last = {e.descriptor.digest: e.offset for e in recorder.events if isinstance(e, BlobAdvanced)}
    assert start.phase == "check"
    assert start.total_bytes == start.done_bytes + sum(last.values())
    assert start.total_items == len(MADE.contents)
    assert len([e for e in recorder.events if isinstance(e, BlobFinished)]) == len(MADE.contents)
    assert recorder.events[-1] == PhaseFinished("check")


@pytest.mark.parametrize("cancel_at", [1, 2, 5, 11])
def test_a_cancelled_check_stops(tmp_path: Path, cancel_at: int) -> None:
    """It ends with the cancellation, whichever thread sees it first."""
    recorder = Recorder(cancel_at=cancel_at)
    run = Run(reporter=recorder, cancel=recorder.token)
    with pytest.raises(CancelledError):
        check_bundle(MADE.write(tmp_path), run=run, jobs=2)


def test_an_error_of_the_medium_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad sector under one layer does not hide what the rest is like."""
    bad = MADE.layout.blobs[-1]
    from airgap.bundle import check_volume as checking

    real = checking.read_into

    def failing(fd: int, buffers: list[memoryview], offset: int) -> int:
        if bad.offset <= offset < bad.end:
            raise OSError(5, "Input/output error")
        return real(fd, buffers, offset)

    monkeypatch.setattr(checking, "read_into", failing)
    report = check_bundle(MADE.write(tmp_path), run=Run(), jobs=2)
    (finding,) = report.findings
    assert (finding.kind, finding.digest) == ("unreadable", bad.digest)
    assert finding.images
    assert report.exit_code == ExitCode.STORAGE


def test_memory_does_not_grow_with_the_blobs(tmp_path: Path) -> None:
    """A layer of many chunks is hashed through one buffer for each thread."""
    path = tiny_bundle(layers=(bytes(24 * CHUNK_SIZE),)).write(tmp_path)
    tracemalloc.start()
    try:
        report = check_bundle(path, run=Run(), jobs=2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert report.findings == ()
    assert peak < 6 * CHUNK_SIZE


def test_the_exit_code_is_the_first_of_its_order() -> None:
    """22 before 21 before 20 before 23, however many there are."""

    def code(*kinds: str) -> int:
        findings = tuple(Finding(kind, "x") for kind in kinds)
        return CheckReport("x", None, None, 0, 0, 0, 0, findings).exit_code

    assert code() == 0
    assert code("missing") == 23
    assert code("missing", "digest-mismatch") == 20
    assert code("missing", "digest-mismatch", "structure", "unreadable") == 22
    assert code("cut-short", "unreadable") == 23
    assert code("missing", "digest-mismatch", "signature") == 21
    assert code("signature", "structure") == 22
    assert {code(kind) for kind in EXITS} == {20, 21, 22, 23, 30}


def test_a_pax_size_is_compared(tmp_path: Path) -> None:
    """A header of several blocks is compared in all of them."""
    made = tiny_bundle(algorithm="sha512")
    extent = made.layout.blobs[-1]
    for back in (1, 500, 700, 1100, 1500):
        report = check(tmp_path, bundles.flip(made.data, extent.offset - back))
        assert report.exit_code == ExitCode.BUNDLE_FORMAT


def test_a_header_of_another_kind_before_a_layer_is_described(tmp_path: Path) -> None:
    """A member with an unsafe name over a layer is named for what it is."""
    extent = MADE.layout.blobs[-1]
    evil = member("../../nowhere/.ssh/authorized_keys", b"")
    report = check(tmp_path, bundles.replace(MADE.data, extent.offset - 512, evil))
    assert any("leads out of the folder" in f.message for f in report.findings)
