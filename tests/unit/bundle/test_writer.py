"""Writing bundles to files: final places, refusals, wrong content and failing storage."""

from __future__ import annotations

import errno
import os
import random
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from airgap.bundle.writer import BundleWriter
from airgap.errors import (
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
from airgap.wording import size_text
from tests.support.bundles import MadeBundle, make_bundle, tiny_bundle
from tests.support.writing import (
    BIG,
    big,
    broken_off,
    bundle_of,
    descriptors,
    hurried,
    opened,
    opener,
    partial,
    put,
    write,
)


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
            writer.begin(made.plan)

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
            writer.begin(made.plan)
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
            writer.begin(made.plan)
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
            writer.begin(made.plan)
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
                writer.begin(made.plan)
            assert f"needs {size_text(made.layout.size)} more" in caught.value.message
            assert "4.7 kB are free" in caught.value.message
        assert list(target.parent.iterdir()) == []

    def test_quota(self, target: Path, made: MadeBundle, monkeypatch) -> None:
        """Room that shows to be missing only when it is reserved leaves nothing behind."""

        def full(fd: int, *_: object) -> None:
            os.ftruncate(fd, 100)
            raise OSError(errno.EDQUOT, "quota")

        monkeypatch.setattr(os, "posix_fallocate", full)
        with opened(target) as writer, pytest.raises(StorageFullError):
            writer.begin(made.plan)
        assert list(target.parent.iterdir()) == []

    def test_file_system_with_small_files(
        self, target: Path, made: MadeBundle, monkeypatch
    ) -> None:
        """A file system that does not take files of the size is known before the first byte."""

        def too_far(*_: object) -> int:
            raise OSError(errno.EINVAL, "no")

        monkeypatch.setattr(os, "lseek", too_far)
        with opened(target) as writer, pytest.raises(StorageError) as caught:
            writer.begin(made.plan)
        assert "size" in str(caught.value.hint)

    def test_unknown_blob(self, target: Path, made: MadeBundle) -> None:
        """A blob that the layout does not name, or names with another size, is refused."""
        with opened(target) as writer:
            writer.begin(made.plan)
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
            writer.begin(made.plan)
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
            writer.begin(made.plan)
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
            writer.begin(made.plan)
            with writer.ingest(big(made)) as ingest:
                with pytest.raises(UnavailableError):
                    ingest.receive(broken_off(BIG, 20_000))
                assert ingest.offset > 0
                ingest.abort()
                assert ingest.offset == 0
        assert write(target, made) == sum(len(data) for data in made.contents.values())


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
            writer.begin(made.plan)
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
            writer.begin(made.plan)
            monkeypatch.setattr(os, "pwrite", gone)
            with pytest.raises(StorageError) as caught:
                put(writer, made.layout, made.contents)
        assert "put it back" in str(caught.value.hint)

    def test_failed_sync_fails_the_run(self, target: Path, made: MadeBundle, monkeypatch) -> None:
        """When the file cannot be synced, every ingest after that and the end of the run fail."""
        with BundleWriter.open(target, overwrite=False, run=Run(), clock=hurried()) as writer:
            writer.begin(made.plan)
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
            writer.begin(made.plan)
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
