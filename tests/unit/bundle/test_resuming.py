"""Going on with a bundle that an earlier run left, to the same layout and to others."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from airgap.bundle.journal import MAGIC
from airgap.bundle.writer import BundleWriter
from airgap.errors import (
    CancelledError,
    DigestMismatchError,
    IncompleteBundleError,
    SizeMismatchError,
    UnavailableError,
)
from airgap.oci.digest import Digest
from airgap.run import Event, Run
from airgap.run.events import BlobAdvanced, BlobFinished, PhaseFinished, PhaseStarted
from tests.support.bundles import MadeBundle, assemble
from tests.support.plans import LAYERS, OLD, PLANS
from tests.support.writing import (
    BIG,
    big,
    broken_off,
    bundle_of,
    descriptors,
    journal,
    opened,
    opener,
    partial,
    put,
    write,
)


class Recorder:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event, /) -> None:
        self.events.append(event)


class Warnings:
    def __init__(self) -> None:
        self.codes: list[str] = []

    def emit(self, event: object, /) -> None:
        if getattr(event, "level", "") == "warning":
            self.codes.append(event.code)  # type: ignore[attr-defined]  # a Notice has it


class TestGoingOn:
    def test_verified_blobs_are_not_fetched_again(self, target: Path, made: MadeBundle) -> None:
        """What a run has verified, the next one holds."""
        with opened(target) as writer:
            writer.begin(made.plan)
            put(writer, made.layout, {big(made).digest: BIG} | dict(made.contents))
        assert BundleWriter.left_at(target).verified.keys() == made.contents.keys()
        with opened(target) as writer:
            assert writer.held.keys() == made.contents.keys()
            writer.begin(made.plan)
            assert writer.held.keys() == made.contents.keys()
            writer.finish()
        assert target.read_bytes() == made.data
        assert BundleWriter.left_at(target).extents() == []

    def test_half_a_blob_goes_on(self, target: Path, made: MadeBundle) -> None:
        """A blob whose source broke off is asked for from where it was, also in the next run."""
        descriptor = big(made)
        with opened(target) as writer:
            writer.begin(made.plan)
            with pytest.raises(UnavailableError):
                with writer.ingest(descriptor) as ingest:
                    ingest.receive(broken_off(BIG, 20_000))
        with opened(target) as writer:
            writer.begin(made.plan)
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
            writer.begin(made.plan)
            with pytest.raises(CancelledError):
                with writer.ingest(big(made)) as ingest:
                    ingest.receive(Source())
        with opened(target) as writer:
            writer.begin(made.plan)
            with writer.ingest(big(made)) as ingest:
                assert ingest.offset == 9_000

    def test_wrong_beginning_is_fetched_again_once(self, target: Path, made: MadeBundle) -> None:
        """Where a kept beginning turns out wrong the blob is asked for again from its start."""
        descriptor = big(made)
        with opened(target) as writer:
            writer.begin(made.plan)
            with pytest.raises(UnavailableError):
                with writer.ingest(descriptor) as ingest:
                    ingest.receive(broken_off(BIG, 20_000))
        with partial(target).open("r+b") as file:
            file.seek(made.layout.placement.extents[-1].offset)
            extent = next(e for e in made.layout.blobs if e.digest == descriptor.digest)
            file.seek(extent.offset + 5)
            file.write(b"damage")
        with opened(target) as writer:
            writer.begin(made.plan)
            asked: list[int] = []
            with writer.ingest(descriptor) as ingest:
                ingest.receive(opener(BIG, opened=asked))
                ingest.commit()
            assert asked == [19_000, 0]
            put(writer, made.layout, made.contents)
            writer.finish()
        assert target.read_bytes() == made.data

    def test_wrong_beginning_and_wrong_source(self, target: Path, made: MadeBundle) -> None:
        """Where the source is wrong, too, nothing is kept; what it has too much of is seen once."""
        descriptor = big(made)
        for data, error, offsets in (
            (b"wrong" + BIG[5:], DigestMismatchError, [19_000, 0]),
            (BIG + b"more", SizeMismatchError, [19_000]),
        ):
            with opened(target) as writer:
                writer.begin(made.plan)
                with pytest.raises(UnavailableError):
                    with writer.ingest(descriptor) as ingest:
                        ingest.receive(broken_off(b"x" + BIG[1:], 20_000))
            asked: list[int] = []
            with opened(target) as writer:
                writer.begin(made.plan)
                with pytest.raises(error), writer.ingest(descriptor) as ingest:
                    ingest.receive(opener(data, opened=asked))
                assert asked == offsets
            with opened(target) as writer:
                writer.begin(made.plan)
                with writer.ingest(descriptor) as ingest:
                    assert ingest.offset == 0

    def test_cancelled_while_hashing(self, target: Path, made: MadeBundle) -> None:
        """What is there is hashed only as long as the run goes on, and is kept."""
        run, asked = Run(), list[int]()
        with opened(target) as writer:
            writer.begin(made.plan)
            with writer.ingest(big(made)) as ingest:
                ingest.receive(opener(BIG))
        with opened(target, run=run) as writer:
            writer.begin(made.plan)
            run.cancel.cancel()
            with pytest.raises(CancelledError), writer.ingest(big(made)) as ingest:
                ingest.receive(opener(BIG, opened=asked))
            assert asked == []
            assert ingest.offset == len(BIG)

    def test_whole_and_damaged(self, target: Path, made: MadeBundle) -> None:
        """A blob that was whole and was damaged before it was committed is fetched again."""
        extent = next(e for e in made.layout.blobs if e.digest == big(made).digest)
        with opened(target) as writer:
            writer.begin(made.plan)
            with writer.ingest(big(made)) as ingest:
                ingest.receive(opener(BIG))
        with partial(target).open("r+b") as file:
            file.seek(extent.end - 3)
            file.write(b"bad")
        assert write(target, made) == sum(map(len, made.contents.values()))
        assert target.read_bytes() == made.data

    def test_whole_but_not_committed(self, target: Path, made: MadeBundle) -> None:
        """A blob that was received and not committed needs no source the next time."""
        descriptor = big(made)
        with opened(target) as writer:
            writer.begin(made.plan)
            with writer.ingest(descriptor) as ingest:
                ingest.receive(opener(BIG))
        with opened(target) as writer:
            writer.begin(made.plan)
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
            writer.begin(made.plan)
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
            writer.begin(made.plan)
            put(writer, made.layout, made.contents)
        journal(target).write_bytes(damage)
        warnings = Warnings()
        with opened(target, run=Run(warnings)) as writer:
            assert not writer.held
            assert warnings.codes == ["journal"]
            writer.begin(made.plan)
            put(writer, made.layout, made.contents)
            writer.finish()
        assert target.read_bytes() == made.data

    def test_cut_partial_file(self, target: Path, made: MadeBundle) -> None:
        """A partial file that is shorter than its journal says is not believed."""
        with opened(target) as writer:
            writer.begin(made.plan)
            put(writer, made.layout, made.contents)
        os.truncate(partial(target), made.layout.size // 2)
        assert BundleWriter.left_at(target).extents() == []
        write(target, made)
        assert target.read_bytes() == made.data


class TestOtherPlans:
    @pytest.mark.parametrize("name", PLANS)
    def test_after_an_interruption(self, target: Path, name: str) -> None:
        """A run with another layout keeps what it wants and makes the bytes of a fresh one."""
        with opened(target) as writer:
            writer.begin(OLD.plan)
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
            writer.begin(OLD.plan)
            put(writer, OLD.layout, OLD.contents, limit=5)
            with pytest.raises(UnavailableError):
                missing = next(d for d in descriptors(OLD.layout) if not writer.has_blob(d))
                with writer.ingest(missing) as ingest:
                    ingest.receive(broken_off(OLD.contents[missing.digest], 2000))
            writer.replan(new.plan)
            put(writer, new.layout, new.contents)
            writer.finish()
        assert target.read_bytes() == new.data

    def test_half_a_blob_is_moved(self, target: Path, made: MadeBundle) -> None:
        """Also the beginning of a blob is kept when its place changes."""
        with opened(target) as writer:
            writer.begin(made.plan)
            with pytest.raises(UnavailableError):
                with writer.ingest(big(made)) as ingest:
                    ingest.receive(broken_off(BIG, 20_000))
        new = bundle_of([b"first", b"second" * 200, BIG])
        with opened(target) as writer:
            writer.begin(new.plan)
            with writer.ingest(big(new)) as ingest:
                assert ingest.offset == 19_000
        write(target, new)
        assert target.read_bytes() == new.data

    @pytest.mark.parametrize("phase", ["move", "verify"])
    def test_progress_is_told(self, target: Path, phase: str) -> None:
        """Moving and hashing what is there are phases whose blobs add up to their bytes."""
        with opened(target) as writer:
            writer.begin(OLD.plan)
            put(writer, OLD.layout, OLD.contents)
        if phase == "verify":
            shutil.copy(partial(target), target.with_name("copy"))
            target.with_name("copy").replace(partial(target))
        recorder = Recorder()
        with opened(target, run=Run(recorder)) as writer:
            writer.begin((PLANS["longer front"] if phase == "move" else OLD).plan)
        events = recorder.events
        (total,) = [e.total_bytes for e in events if isinstance(e, PhaseStarted)]
        assert total == sum(map(len, OLD.contents.values()))
        assert events[0] == PhaseStarted(phase, len(OLD.contents), total)
        assert events[-1] == PhaseFinished(phase)
        assert sum(e.descriptor.size for e in events if isinstance(e, BlobFinished)) == total
        assert sum(e.offset for e in events if isinstance(e, BlobAdvanced)) == total


def test_a_blob_of_another_size_than_the_new_layout_says_is_not_kept(target: Path) -> None:
    """A digest that a changed manifest gives another size is asked for again, and refused."""
    data = b"a layer" * 100
    digest = Digest.of(data)
    first, second = (
        assemble({}, {Digest.of(b"front"): b"front"}, images=(), absent=[(digest, size)])
        for size in (len(data), len(data) + 600)
    )
    with opened(target) as writer:
        writer.begin(first.plan)
        put(writer, first.layout, {**first.contents, digest: data})
    with opened(target) as writer:
        writer.begin(second.plan)
        assert not writer.has_blob(descriptors(second.layout)[1])
        with pytest.raises(SizeMismatchError):
            put(writer, second.layout, {digest: data})
        with pytest.raises(IncompleteBundleError):
            writer.finish()
    assert not target.exists()
