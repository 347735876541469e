"""Writing volumes: every byte at its place, whatever an earlier run left."""

from __future__ import annotations

from pathlib import Path

import pytest

from airgap.bundle import bundle_files
from airgap.bundle.partial import PartialFile
from airgap.content.atomic import remove_file
from airgap.errors import (
    ConflictError,
    IncompleteBundleError,
    LockedError,
    StorageFullError,
    UnavailableError,
)
from tests.support.bundles import MadeBundle, tiny_bundle
from tests.support.plans import OLD, PLANS
from tests.support.volume_sets import plan
from tests.support.volume_writing import opened, replacing, state, volumes
from tests.support.writing import (
    BIG,
    big,
    broken_off,
    bundle_of,
    opener,
    put,
    write_volumes,
)


@pytest.mark.parametrize("limit", [9000, 23_000, 40_000, 60_000])
def test_every_volume_has_its_planned_bytes(target: Path, limit: int) -> None:
    """Blobs that are whole and blobs in two to six pieces, each with its digest in a seal."""
    made = bundle_of([BIG, b"small" * 100, BIG[:30_000]])
    write_volumes(target, made, plan(made, limit))
    assert state(target) == volumes(made, limit)


@pytest.mark.parametrize("at", [1, 8999, 9000, 9001, 27_500, 49_000])
def test_a_cut_blob_goes_on_where_it_broke_off(target: Path, at: int) -> None:
    """In any of its pieces; what pieces hash to is right all the same."""
    made = bundle_of([BIG, b"end"])
    with opened(target) as writer:
        writer.begin(plan(made, 9000))
        with pytest.raises(UnavailableError), writer.ingest(big(made)) as ingest:
            ingest.receive(broken_off(BIG, at))
    fetched = write_volumes(target, made, plan(made, 9000))
    assert fetched <= sum(map(len, made.contents.values())) - (at // 1000 - 1) * 1000
    assert state(target) == volumes(made, 9000)


def test_whole_and_cut_blobs_of_an_earlier_run_are_not_fetched_again(target: Path) -> None:
    """The cut ones are hashed first."""
    made = bundle_of([BIG, BIG[:20_000]])
    with opened(target) as writer:
        writer.begin(plan(made, 9000))
        put(writer, made.layout, made.contents)
    assert write_volumes(target, made, plan(made, 9000)) == 0
    assert state(target) == volumes(made, 9000)


def test_a_cut_blob_that_was_changed_meanwhile_is_fetched_again(target: Path) -> None:
    """A byte of its second piece is another one."""
    made = bundle_of([BIG])
    with opened(target) as writer:
        writer.begin(plan(made, 30_000))
        put(writer, made.layout, made.contents)
    path = target.parent / "release.002.tar.partial"
    piece = plan(made, 30_000).placements[1][0]
    data = bytearray(path.read_bytes())
    data[piece.offset + 5] ^= 1
    path.write_bytes(data)
    assert write_volumes(target, made, plan(made, 30_000)) == len(BIG)
    assert state(target) == volumes(made, 30_000)


@pytest.mark.parametrize("before", [7000, 15_000, 33_000])
@pytest.mark.parametrize("after", [9000, 26_000])
def test_another_size_on_the_next_run_moves_what_is_whole(
    target: Path, before: int, after: int
) -> None:
    """The result is that of a fresh run, and no unfinished volume is left."""
    made = bundle_of([BIG[:20_000], BIG[20_000:30_000], BIG[30_000:36_000]])
    with opened(target) as writer:
        writer.begin(plan(made, before))
        put(writer, made.layout, made.contents)
    write_volumes(target, made, plan(made, after))
    assert state(target) == volumes(made, after)


@pytest.mark.parametrize("name", sorted(PLANS))
def test_a_new_plan_within_a_run_gives_what_a_fresh_run_gives(target: Path, name: str) -> None:
    """Where a blob is lost or a tag moves."""
    new = PLANS[name]
    with opened(target) as writer:
        writer.begin(plan(OLD, 900))
        put(writer, OLD.layout, OLD.contents)
        writer.replan(plan(new, 700))
        put(writer, new.layout, new.contents)
        writer.finish()
    assert state(target) == volumes(new, 700)


def test_volumes_of_which_one_is_left_stay_a_volume(target: Path) -> None:
    """A blob was lost, and the next run does not know that when it begins."""
    made, less = bundle_of([BIG, BIG[:20_000]]), bundle_of([BIG[:20_000]])
    for _ in range(2):
        with opened(target) as writer:
            writer.begin(plan(made, 60_000))
            put(writer, less.layout, less.contents)
            writer.replan(plan(less, 60_000))
            put(writer, less.layout, less.contents)
    with opened(target) as writer:
        writer.begin(plan(made, 60_000))
        writer.replan(plan(less, 60_000))
        put(writer, less.layout, less.contents)
        writer.finish()
    assert state(target) == {"release.001.tar": less.data}


def test_volumes_are_published_only_when_all_are_whole(target: Path) -> None:
    """Nothing has a final name as long as a blob is missing."""
    made = bundle_of([BIG, b"more"])
    with opened(target) as writer:
        writer.begin(plan(made, 30_000))
        put(writer, made.layout, made.contents, limit=1)
        with pytest.raises(IncompleteBundleError):
            writer.finish()
    assert not list(target.parent.glob("*.tar"))


def test_a_second_run_is_kept_out(target: Path) -> None:
    """Whatever volumes it would write."""
    made = bundle_of([BIG])
    with opened(target) as writer:
        writer.begin(plan(made, 30_000))
        with pytest.raises(LockedError):
            opened(target)


def test_room_is_asked_for_for_all_volumes_together(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room for one of them is not enough, and nothing is left behind."""
    made = bundle_of([BIG, BIG[:40_000]])
    monkeypatch.setattr("airgap.bundle.bundle_files.free_bytes", lambda _: 60_000)
    with opened(target) as writer, pytest.raises(StorageFullError):
        writer.begin(plan(made, 30_000))
    assert not [path for path in target.parent.iterdir() if path.stat().st_size > 200]


def test_volumes_that_are_there_are_refused_and_replaced_on_request(target: Path) -> None:
    """Those beyond the new ones go when the new ones are there, and not before."""
    made = bundle_of([BIG])
    write_volumes(target, made, plan(made, 9000))
    old = state(target)
    with pytest.raises(ConflictError):
        opened(target)
    with opened(target, overwrite=True) as writer:
        writer.begin(plan(made, 30_000))
        put(writer, made.layout, made.contents)
        assert old.items() <= state(target).items()
        writer.finish()
    assert state(target) == volumes(made, 30_000)


def test_volumes_stay_until_the_same_ones_replace_them(target: Path) -> None:
    """A run with --overwrite that fails leaves every volume under its name, run after run."""
    made = bundle_of([BIG])
    write_volumes(target, made, plan(made, 9000))
    old = state(target)
    for limit in (30_000, 9000, 9000):
        with opened(target, overwrite=True) as writer:
            writer.begin(plan(made, limit))
            put(writer, made.layout, made.contents, limit=1)
        assert old.items() <= state(target).items()
    replacing(target, made, 9000)
    assert state(target) == old


def break_off_publishing(target: Path, made: MadeBundle, limit: int, names: int) -> None:
    """Leave what a run leaves that ends after giving so many names."""
    with pytest.MonkeyPatch.context() as patch:
        real, given = PartialFile.publish, []

        def publish(file: PartialFile, **options: bool) -> None:
            if len(given) == names:
                raise OSError("the power is gone")
            given.append(file)
            real(file, **options)

        patch.setattr(PartialFile, "publish", publish)
        with pytest.raises(OSError, match="power"):
            write_volumes(target, made, plan(made, limit))


@pytest.mark.parametrize("names", [1, 2, 4])
def test_names_that_were_given_are_taken_back(target: Path, names: int) -> None:
    """The next run gives all of them, and fetches nothing."""
    made = bundle_of([BIG[:20_000], BIG[20_000:30_000], BIG[30_000:36_000]])
    break_off_publishing(target, made, 9000, names)
    assert len(list(target.parent.glob("release.0*.tar"))) == names
    assert write_volumes(target, made, plan(made, 9000)) == 0
    assert state(target) == volumes(made, 9000)


@pytest.mark.parametrize("after", [8000, 13_000, 33_000, 90_000])
@pytest.mark.parametrize("names", [1, 2, 3])
def test_volumes_of_another_size_after_some_names_were_given(
    target: Path, names: int, after: int
) -> None:
    """What lies under final names is not looked for in the unfinished files."""
    made = bundle_of([BIG[:7000], BIG[7000:14_000], BIG[14_000:21_000], BIG[21_000:28_000]])
    break_off_publishing(target, made, 7000, names)
    with pytest.raises(ConflictError):
        write_volumes(target, made, plan(made, after))
    replacing(target, made, after)
    wanted = volumes(made, after)
    if after == 90_000:
        wanted = {"release.001.tar": made.data}
    assert state(target) == wanted


@pytest.mark.parametrize("limit", [30_000, 90_000])
def test_old_volumes_are_removed_only_once_all_new_ones_have_their_names(
    target: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """Whatever ends the run before, what was there is there, or all that replaces it is."""
    made = bundle_of([BIG])
    write_volumes(target, made, plan(made, 9000))
    wanted, steps = volumes(made, limit) if limit < len(BIG) else {target.name: made.data}, []

    def looked(path: Path) -> bool:
        if path.suffix == ".tar":
            steps.append(wanted.items() <= state(target).items())
        return remove_file(path)

    monkeypatch.setattr(bundle_files, "remove_file", looked)
    replacing(target, made, limit)
    assert steps
    assert all(steps)
    assert state(target) == wanted


def test_one_file_replaces_volumes(target: Path) -> None:
    """Where all fits into one volume now, none of the old ones stays."""
    made, small = bundle_of([BIG]), bundle_of([b"small"])
    write_volumes(target, made, plan(made, 30_000))
    with opened(target, overwrite=True) as writer:
        writer.begin(plan(small, 30_000))
        put(writer, small.layout, small.contents)
        writer.finish()
    assert state(target) == {"release.tar": small.data}


def test_volumes_replace_one_file(target: Path) -> None:
    """And only on request."""
    made = bundle_of([BIG])
    target.write_bytes(b"old")
    with pytest.raises(ConflictError):
        opened(target)
    replacing(target, made, 30_000)
    assert state(target) == volumes(made, 30_000)


@pytest.mark.parametrize("limit", [5, 11, 17])
def test_pieces_of_a_blob_with_another_digest_are_named_by_sha256(target: Path, limit: int) -> None:
    """A blob of sha512 is hashed apart from its pieces."""
    made = tiny_bundle(algorithm="sha512", layers=(b"a layer of a few bytes", b"another"))
    write_volumes(target, made, plan(made, limit))
    assert state(target) == volumes(made, limit)


def test_an_ingest_that_is_repeated_gives_the_same_pieces(target: Path) -> None:
    """A blob that is committed takes nothing, and its pieces are known."""
    made = bundle_of([BIG])
    with opened(target) as writer:
        writer.begin(plan(made, 30_000))
        for _ in range(2):
            with writer.ingest(big(made)) as ingest:
                ingest.receive(opener(BIG))
                ingest.commit()
        put(writer, made.layout, made.contents)
        writer.finish()
    assert state(target) == volumes(made, 30_000)
