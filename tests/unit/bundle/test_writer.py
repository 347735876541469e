"""Writing bundles to files: final places, resuming, and everything that can go wrong."""

from __future__ import annotations

import errno
import os
import random
import shutil
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from airgap.bundle.journal import MAGIC
from airgap.bundle.writer import BundleWriter
from airgap.errors import (
    CancelledError,
    ConflictError,
    ContentNotFoundError,
    DigestMismatchError,
    IncompleteBundleError,
    LockedError,
    SettingsError,
    SizeMismatchError,
    StorageError,
    StorageFullError,
    UnavailableError,
)
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.run import Run
from tests.support.bundles import MadeBundle, make_bundle, tiny_bundle
from tests.support.crashes import Left, crash_points
from tests.support.writing import bundle_of, descriptors, hurried, opener, put, write

BIG = random.Random(1).randbytes(50_000)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where the bundle goes, in a folder of its own."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "release.tar"


@pytest.fixture
def made() -> MadeBundle:
    """A bundle with one layer that comes in many chunks."""
    return bundle_of([BIG, b"small", b""])


def partial(target: Path) -> Path:
    return target.with_name("release.tar.partial")


def journal(target: Path) -> Path:
    return target.with_name("release.tar.partial.journal")


def opened(target: Path, *, run: Run | None = None, overwrite: bool = False) -> BundleWriter:
    return BundleWriter.open(target, overwrite=overwrite, run=run or Run(), clock=lambda: 0.0)


def big(made: MadeBundle) -> Descriptor:
    return max(descriptors(made.layout), key=lambda d: d.size)


def broken_off(data: bytes, at: int, *, error: Exception | None = None):
    """An opener whose source breaks off."""
    inner = opener(data)

    class Broken:
        def __call__(self, offset: int):
            return self

        def __enter__(self):
            def chunks():
                with inner(0) as whole:
                    for number, chunk in enumerate(whole):
                        if number * 1000 >= at:
                            raise error or UnavailableError("cut")
                        yield chunk

            return chunks()

        def __exit__(self, *_: object) -> None:
            pass

    return Broken()


class Warnings:
    def __init__(self) -> None:
        self.codes: list[str] = []

    def emit(self, event: object, /) -> None:
        if getattr(event, "level", "") == "warning":
            self.codes.append(event.code)  # type: ignore[attr-defined]  # a Notice has it


class TestWhole:
    def test_file_has_the_planned_bytes(self, target: Path) -> None:
        """A written bundle is byte for byte what its layout says, and nothing is left beside it."""
        made = make_bundle()
        write(target, made)
        assert target.read_bytes() == made.data
        assert list(target.parent.iterdir()) == [target]

    def test_it_is_a_tar(self, target: Path, made: MadeBundle) -> None:
        """Python's tarfile reads every blob out of a written bundle."""
        write(target, made)
        with tarfile.open(target) as tar:
            for digest, data in made.contents.items():
                file = tar.extractfile(f"blobs/{digest.algorithm}/{digest.hex}")
                assert file is not None
                assert file.read() == data

    def test_blobs_may_come_in_parallel_and_in_any_order(self, target: Path) -> None:
        """Threads that write blobs at the same time make the same file, with syncs in between."""
        made = bundle_of([random.Random(n).randbytes(9_000) for n in range(40)])
        with BundleWriter.open(target, overwrite=False, run=Run(), clock=hurried()) as writer:
            writer.begin(made.layout)

            def one(descriptor: Descriptor) -> None:
                with writer.ingest(descriptor) as ingest:
                    ingest.receive(opener(made.contents[descriptor.digest]))
                    ingest.commit()

            with ThreadPoolExecutor(8) as pool:
                list(pool.map(one, reversed(descriptors(made.layout))))
            writer.finish()
        assert target.read_bytes() == made.data

    def test_nothing_is_under_the_final_name_before_the_end(self, target: Path, made) -> None:
        """Until finish, there is only the partial file; it holds no seal."""
        with opened(target) as writer:
            writer.begin(made.layout)
            put(writer, made.layout, made.contents)
            assert not target.exists()
            assert b"airgap/seal.json" not in partial(target).read_bytes()

    def test_a_file_system_without_reservations_will_do(
        self, target: Path, made: MadeBundle, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where room cannot be reserved the file grows as it comes, to the same bytes."""

        def cannot(*_: object) -> None:
            raise OSError(errno.EOPNOTSUPP, "no")

        monkeypatch.setattr(os, "posix_fallocate", cannot)
        write(target, made)
        assert target.read_bytes() == made.data

    def test_existing_file_is_replaced_only_when_told(self, target: Path, made) -> None:
        """An existing bundle stays until the new one is whole, and then makes way for it."""
        target.write_bytes(b"old")
        with pytest.raises(ConflictError):
            opened(target)
        with opened(target, overwrite=True) as writer:
            writer.begin(made.layout)
            put(writer, made.layout, made.contents)
            assert target.read_bytes() == b"old"
            writer.finish()
        assert target.read_bytes() == made.data

    def test_a_link_is_followed(self, target: Path, made: MadeBundle, tmp_path: Path) -> None:
        """A name that is a link leaves the link, and the bundle goes to where it points."""
        link = tmp_path / "link.tar"
        link.symlink_to(target)
        write(link, made)
        assert link.is_symlink()
        assert target.read_bytes() == made.data

    def test_manifests_are_in_the_front(self, target: Path, made: MadeBundle) -> None:
        """Putting a manifest of the layout does nothing, and another one is refused."""
        with opened(target) as writer:
            writer.begin(made.layout)
            for document in made.documents.values():
                writer.put_manifest(document)
            with pytest.raises(ContentNotFoundError):
                writer.put_manifest(next(iter(tiny_bundle().documents.values())))


class TestRefusals:
    def test_folder(self, target: Path) -> None:
        """An output that is a folder is a usage error."""
        target.mkdir()
        with pytest.raises(SettingsError):
            opened(target)

    def test_device(self) -> None:
        """An output that is a device is a usage error with a hint at pipes."""
        with pytest.raises(SettingsError) as caught:
            opened(Path("/dev/null"))
        assert "-o -" in str(caught.value.hint)

    def test_missing_folder(self, tmp_path: Path) -> None:
        """An output in a folder that does not exist says so."""
        with pytest.raises(StorageError) as caught:
            opened(tmp_path / "no" / "x.tar")
        assert "no such folder" in caught.value.message

    def test_second_run(self, target: Path) -> None:
        """A second run on one bundle is refused while the first is there, and let in after it."""
        first = opened(target)
        with pytest.raises(LockedError):
            opened(target)
        first.close()
        opened(target).close()

    def test_no_trace_without_a_layout(self, target: Path) -> None:
        """A run that ends before it has a layout leaves nothing."""
        opened(target).close()
        assert list(target.parent.iterdir()) == []

    def test_no_space(self, target: Path, made: MadeBundle, monkeypatch) -> None:
        """Missing room is said before the first byte, with how much is needed and free."""
        monkeypatch.setattr("airgap.content.posix.free_bytes", lambda _: 4711)
        with opened(target) as writer:
            with pytest.raises(StorageFullError) as caught:
                writer.begin(made.layout)
            assert str(made.layout.size) in caught.value.message
            assert "4711" in caught.value.message
        assert list(target.parent.iterdir()) == []

    def test_quota(self, target: Path, made: MadeBundle, monkeypatch) -> None:
        """Room that shows to be missing only when it is reserved leaves nothing behind."""

        def full(fd: int, *_: object) -> None:
            os.ftruncate(fd, 100)
            raise OSError(errno.EDQUOT, "quota")

        monkeypatch.setattr(os, "posix_fallocate", full)
        with opened(target) as writer, pytest.raises(StorageFullError):
            writer.begin(made.layout)
        assert list(target.parent.iterdir()) == []

    def test_file_system_with_small_files(
        self, target: Path, made: MadeBundle, monkeypatch
    ) -> None:
        """A file system that does not take files of the size is known before the first byte."""

        def too_far(*_: object) -> int:
            raise OSError(errno.EINVAL, "no")

        monkeypatch.setattr(os, "lseek", too_far)
        with opened(target) as writer, pytest.raises(StorageError) as caught:
            writer.begin(made.layout)
        assert "size" in str(caught.value.hint)

    def test_unknown_blob(self, target: Path, made: MadeBundle) -> None:
        """A blob that the layout does not name, or names with another size, is refused."""
        with opened(target) as writer:
            writer.begin(made.layout)
            with pytest.raises(ContentNotFoundError):
                with writer.ingest(Descriptor.of(b"?", mediatype.OCTET_STREAM)):
                    pass
            right = big(made)
            with pytest.raises(SizeMismatchError):
                with writer.ingest(Descriptor(right.media_type, right.digest, 1)):
                    pass

    def test_missing_blobs(self, target: Path, made: MadeBundle) -> None:
        """A bundle with blobs missing is not finished, and the error names them."""
        with opened(target) as writer:
            writer.begin(made.layout)
            put(writer, made.layout, made.contents, limit=1)
            with pytest.raises(IncompleteBundleError) as caught:
                writer.finish()
        assert len(caught.value.missing) == len(made.contents) - 1
        assert not target.exists()


class TestWrongContent:
    @pytest.mark.parametrize(
        ("change", "error"),
        [
            (lambda data: data[:-1] + b"?", DigestMismatchError),
            (lambda data: data[:-1], SizeMismatchError),
            (lambda data: data + b"?", SizeMismatchError),
            (lambda _: b"", SizeMismatchError),
        ],
    )
    def test_nothing_of_it_is_kept(self, target: Path, made: MadeBundle, change, error) -> None:
        """Content of another digest or size is refused, and the next try starts at nought."""
        with opened(target) as writer:
            writer.begin(made.layout)
            descriptor = big(made)
            with writer.ingest(descriptor) as ingest:
                with pytest.raises(error):
                    ingest.receive(opener(change(BIG)))
                assert ingest.offset == 0
                with pytest.raises(SizeMismatchError):
                    ingest.commit()
            assert not writer.has_blob(descriptor)
            put(writer, made.layout, made.contents)
            writer.finish()
        assert target.read_bytes() == made.data

    def test_abort(self, target: Path, made: MadeBundle) -> None:
        """An aborted blob starts at nought, also in the next run."""
        with opened(target) as writer:
            writer.begin(made.layout)
            with writer.ingest(big(made)) as ingest:
                with pytest.raises(UnavailableError):
                    ingest.receive(broken_off(BIG, 20_000))
                assert ingest.offset > 0
                ingest.abort()
                assert ingest.offset == 0
        assert write(target, made) == sum(len(data) for data in made.contents.values())


class TestGoingOn:
    def test_verified_blobs_are_not_fetched_again(self, target: Path, made: MadeBundle) -> None:
        """What a run has verified, the next one holds."""
        with opened(target) as writer:
            writer.begin(made.layout)
            put(writer, made.layout, {big(made).digest: BIG} | dict(made.contents))
        assert BundleWriter.held_by(target) == frozenset(made.contents)
        with opened(target) as writer:
            assert writer.held == frozenset(made.contents)
            writer.begin(made.layout)
            assert writer.held == frozenset(made.contents)
            writer.finish()
        assert target.read_bytes() == made.data
        assert BundleWriter.held_by(target) == frozenset()

    def test_half_a_blob_goes_on(self, target: Path, made: MadeBundle) -> None:
        """A blob whose source broke off is asked for from where it was, also in the next run."""
        descriptor = big(made)
        with opened(target) as writer:
            writer.begin(made.layout)
            with pytest.raises(UnavailableError):
                with writer.ingest(descriptor) as ingest:
                    ingest.receive(broken_off(BIG, 20_000))
        with opened(target) as writer:
            writer.begin(made.layout)
            asked: list[int] = []
            with writer.ingest(descriptor) as ingest:
                assert ingest.offset == 19_000
                ingest.receive(opener(BIG, opened=asked))
                ingest.commit()
                ingest.commit()
            assert asked == [19_000]
            put(writer, made.layout, made.contents)
            writer.finish()
        assert target.read_bytes() == made.data

    def test_interrupted_by_the_user(self, target: Path, made: MadeBundle) -> None:
        """A cancellation stops between chunks and leaves what is there to be continued."""
        run = Run()

        def chunks():
            for number, at in enumerate(range(0, len(BIG), 1000)):
                if number == 10:
                    run.cancel.cancel()
                yield BIG[at : at + 1000]

        class Source:
            def __call__(self, offset: int):
                return self

            def __enter__(self):
                return chunks()

            def __exit__(self, *_: object) -> None:
                pass

        with opened(target, run=run) as writer:
            writer.begin(made.layout)
            with pytest.raises(CancelledError):
                with writer.ingest(big(made)) as ingest:
                    ingest.receive(Source())
        with opened(target) as writer:
            writer.begin(made.layout)
            with writer.ingest(big(made)) as ingest:
                assert ingest.offset == 9_000

    def test_wrong_beginning_is_fetched_again_once(self, target: Path, made: MadeBundle) -> None:
        """Where a kept beginning turns out wrong the blob is asked for again from its start."""
        descriptor = big(made)
        with opened(target) as writer:
            writer.begin(made.layout)
            with pytest.raises(UnavailableError):
                with writer.ingest(descriptor) as ingest:
                    ingest.receive(broken_off(BIG, 20_000))
        with partial(target).open("r+b") as file:
            file.seek(made.layout.placement.extents[-1].offset)
            extent = next(e for e in made.layout.blobs if e.digest == descriptor.digest)
            file.seek(extent.offset + 5)
            file.write(b"damage")
        with opened(target) as writer:
            writer.begin(made.layout)
            asked: list[int] = []
            with writer.ingest(descriptor) as ingest:
                ingest.receive(opener(BIG, opened=asked))
                ingest.commit()
            assert asked == [19_000, 0]
            put(writer, made.layout, made.contents)
            writer.finish()
        assert target.read_bytes() == made.data

    def test_whole_but_not_committed(self, target: Path, made: MadeBundle) -> None:
        """A blob that was received and not committed needs no source the next time."""
        descriptor = big(made)
        with opened(target) as writer:
            writer.begin(made.layout)
            with writer.ingest(descriptor) as ingest:
                ingest.receive(opener(BIG))
        with opened(target) as writer:
            writer.begin(made.layout)
            assert not writer.has_blob(descriptor)
            asked: list[int] = []
            with writer.ingest(descriptor) as ingest:
                ingest.receive(opener(BIG, opened=asked))
                ingest.commit()
            assert asked == []
            assert writer.has_blob(descriptor)

    def test_copied_file_is_hashed(self, target: Path, made: MadeBundle) -> None:
        """A partial file that was copied is hashed again, and what is wrong in it fetched again."""
        with opened(target) as writer:
            writer.begin(made.layout)
            put(writer, made.layout, made.contents)
        copy = target.with_name("copy")
        shutil.copy(partial(target), copy)
        extent = next(e for e in made.layout.blobs if e.length == len(BIG))
        with copy.open("r+b") as file:
            file.seek(extent.offset + 7)
            file.write(b"damage")
        copy.replace(partial(target))
        assert write(target, made) == len(BIG)
        assert target.read_bytes() == made.data

    @pytest.mark.parametrize("damage", [b"", b"nonsense", MAGIC.replace(b"1", b"2") + bytes(99)])
    def test_useless_journal(self, target: Path, made: MadeBundle, damage: bytes) -> None:
        """A journal that is damaged or of another version is not trusted, and that is said."""
        with opened(target) as writer:
            writer.begin(made.layout)
            put(writer, made.layout, made.contents)
        journal(target).write_bytes(damage)
        warnings = Warnings()
        with opened(target, run=Run(warnings)) as writer:
            assert writer.held == frozenset()
            assert warnings.codes == ["journal"]
            writer.begin(made.layout)
            put(writer, made.layout, made.contents)
            writer.finish()
        assert target.read_bytes() == made.data

    def test_cut_partial_file(self, target: Path, made: MadeBundle) -> None:
        """A partial file that is shorter than its journal says is not believed."""
        with opened(target) as writer:
            writer.begin(made.layout)
            put(writer, made.layout, made.contents)
        os.truncate(partial(target), made.layout.size // 2)
        assert BundleWriter.held_by(target) == frozenset()
        write(target, made)
        assert target.read_bytes() == made.data


class TestStorage:
    def test_full_disk_in_the_middle(self, target: Path, made: MadeBundle, monkeypatch) -> None:
        """A disk that fills up while a blob is written is reported, and what was there is kept."""
        real = os.pwrite
        extent = next(e for e in made.layout.blobs if e.length == len(BIG))

        def full(fd: int, data: bytes, offset: int) -> int:
            if extent.offset + 30_000 < offset < extent.end:
                raise OSError(errno.ENOSPC, "no space")
            return real(fd, data, offset)

        monkeypatch.setattr(os, "pwrite", full)
        with opened(target) as writer:
            writer.begin(made.layout)
            with pytest.raises(StorageFullError):
                put(writer, made.layout, made.contents)
        monkeypatch.undo()
        assert write(target, made) < len(BIG) - 30_000 + 1000
        assert target.read_bytes() == made.data

    def test_target_taken_out(self, target: Path, made: MadeBundle, monkeypatch) -> None:
        """A target that goes away gives a hint to put it back."""

        def gone(*_: object) -> int:
            raise OSError(errno.ENODEV, "no such device")

        with opened(target) as writer:
            writer.begin(made.layout)
            monkeypatch.setattr(os, "pwrite", gone)
            with pytest.raises(StorageError) as caught:
                put(writer, made.layout, made.contents)
        assert "put it back" in str(caught.value.hint)

    def test_failed_sync_fails_the_run(self, target: Path, made: MadeBundle, monkeypatch) -> None:
        """When the file cannot be synced, every ingest after that and the end of the run fail."""
        with BundleWriter.open(target, overwrite=False, run=Run(), clock=hurried()) as writer:
            writer.begin(made.layout)
            real = os.fdatasync
            failures = [1]

            def once(fd: int) -> None:
                if failures:
                    failures.pop()
                    raise OSError(errno.EIO, "input/output error")
                real(fd)

            monkeypatch.setattr(os, "fdatasync", once)
            with pytest.raises(StorageError):
                put(writer, made.layout, made.contents)
                writer.finish()
            with pytest.raises(StorageError):
                writer.finish()
        monkeypatch.undo()
        assert not target.exists()
        write(target, made)
        assert target.read_bytes() == made.data

    def test_journal_is_not_ahead_of_the_disk(self, target: Path, made, monkeypatch) -> None:
        """A blob that was verified and never synced is hashed from the file, not believed."""
        with opened(target) as writer:
            writer.begin(made.layout)
            put(writer, made.layout, made.contents)

            def fail(_: int) -> None:
                raise OSError(errno.EIO, "input/output error")

            monkeypatch.setattr(os, "fdatasync", fail)
        monkeypatch.undo()
        extent = next(e for e in made.layout.blobs if e.length == len(BIG))
        with partial(target).open("r+b") as file:
            file.seek(extent.offset)
            file.write(b"lost")
        assert write(target, made) == len(BIG)
        assert target.read_bytes() == made.data


LAYERS = [random.Random(n).randbytes(700 + 512 * n) for n in range(7)]
OLD = bundle_of(LAYERS)
PLANS = {
    "the same": OLD,
    "one gone": bundle_of(LAYERS[:2] + LAYERS[3:]),
    "one more": bundle_of([b"new" * 900, *LAYERS]),
    "turned round": bundle_of(LAYERS[::-1]),
    "longer front": bundle_of(LAYERS, name="example.com/" + "long/" * 40 + "name:1"),
    "all new": bundle_of(
        # so many that its front reaches over the old blobs
        [random.Random(-n).randbytes(2000) for n in range(1, 13)],
        config=b'{"os":"linux","architecture":"arm64"}',
    ),
}
assert len(PLANS["all new"].layout.front) > OLD.layout.blobs[1].offset


class TestOtherPlans:
    @pytest.mark.parametrize("name", PLANS)
    def test_after_an_interruption(self, target: Path, name: str) -> None:
        """A run with another layout keeps what it wants and makes the bytes of a fresh one."""
        with opened(target) as writer:
            writer.begin(OLD.layout)
            put(writer, OLD.layout, OLD.contents)
        new = PLANS[name]
        fetched = write(target, new)
        unknown = sum(len(d) for key, d in new.contents.items() if key not in OLD.contents)
        given_up = max(map(len, LAYERS)) * (name == "turned round") * len(LAYERS)
        assert unknown <= fetched <= unknown + given_up
        assert target.read_bytes() == new.data
        assert list(target.parent.iterdir()) == [target]

    @pytest.mark.parametrize("name", PLANS)
    def test_while_running(self, target: Path, name: str) -> None:
        """A layout that changes in the middle of a run leads to the bytes of a fresh one."""
        new = PLANS[name]
        with opened(target) as writer:
            writer.begin(OLD.layout)
            put(writer, OLD.layout, OLD.contents, limit=5)
            with pytest.raises(UnavailableError):
                missing = next(d for d in descriptors(OLD.layout) if not writer.has_blob(d))
                with writer.ingest(missing) as ingest:
                    ingest.receive(broken_off(OLD.contents[missing.digest], 2000))
            writer.replan(new.layout)
            put(writer, new.layout, new.contents)
            writer.finish()
        assert target.read_bytes() == new.data

    def test_half_a_blob_is_moved(self, target: Path, made: MadeBundle) -> None:
        """Also the beginning of a blob is kept when its place changes."""
        with opened(target) as writer:
            writer.begin(made.layout)
            with pytest.raises(UnavailableError):
                with writer.ingest(big(made)) as ingest:
                    ingest.receive(broken_off(BIG, 20_000))
        new = bundle_of([b"first", b"second" * 200, BIG])
        with opened(target) as writer:
            writer.begin(new.layout)
            with writer.ingest(big(new)) as ingest:
                assert ingest.offset == 19_000
        write(target, new)
        assert target.read_bytes() == new.data


def left_by(target: Path, made: MadeBundle) -> None:
    """Leave nothing in the folder but what an interrupted run with all blobs does."""
    for path in list(target.parent.iterdir()):
        path.unlink()
    with opened(target) as writer:
        writer.begin(made.layout)
        put(writer, made.layout, made.contents)


@pytest.mark.parametrize("left", ["all", "synced", "journal", "data"])
class TestCrashes:
    @pytest.fixture(autouse=True)
    def imagined_syncs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What a crash leaves is decided by who plays it, so that nobody waits for a disk."""
        monkeypatch.setattr(os, "fdatasync", lambda _: None)
        monkeypatch.setattr(os, "fsync", lambda _: None)

    def test_at_every_step_of_a_run(self, target: Path, left: Left) -> None:
        """After a crash at any step of an export, the same command makes the same bytes."""
        made = bundle_of(LAYERS[:3])

        def work() -> None:
            write(target, made, clock=hurried())

        for step in crash_points(work, target.parent, left):
            if target.exists():
                assert target.read_bytes() == made.data, f"after step {step}"
            else:
                write(target, made)
            assert target.read_bytes() == made.data, f"after step {step}"
            for path in target.parent.iterdir():
                path.unlink()
        assert target.read_bytes() == made.data

    def test_again_and_again(self, target: Path, left: Left) -> None:
        """A run that crashes over and over, each time a step later, ends with the same bytes."""
        made = bundle_of(LAYERS)

        def work() -> None:
            if not target.exists():
                write(target, made, clock=hurried())

        for _ in crash_points(work, target.parent, left, every=3):
            pass
        assert target.read_bytes() == made.data

    @pytest.mark.parametrize("name", ["turned round", "longer front", "one gone", "all new"])
    def test_at_every_step_of_a_move(self, target: Path, left: Left, name: str) -> None:
        """After a crash while blobs are moved, the run to either layout makes its bytes."""
        left_by(target, OLD)
        new = PLANS[name]

        def work() -> None:
            with BundleWriter.open(target, overwrite=False, run=Run(), clock=hurried()) as writer:
                writer.begin(new.layout)
                put(writer, new.layout, new.contents)

        for step in crash_points(work, target.parent, left):
            then = new if left in ("all", "synced") else OLD
            write(target, then)
            assert target.read_bytes() == then.data, f"after step {step}"
            left_by(target, OLD)
        write(target, new)
        assert target.read_bytes() == new.data
