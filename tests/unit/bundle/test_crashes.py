"""Crashes at every step of writing a bundle, and what can be done with what they leave."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airgap.bundle.writer import BundleWriter
from airgap.run import Run
from tests.support.bundles import MadeBundle
from tests.support.crashes import Left, crash_points
from tests.support.plans import LAYERS, OLD, PLANS
from tests.support.writing import (
    bundle_of,
    hurried,
    opened,
    put,
    write,
)


def left_by(target: Path, made: MadeBundle) -> None:
    """Leave nothing in the folder but what an interrupted run with all blobs does."""
    for path in list(target.parent.iterdir()):
        path.unlink()
    with opened(target) as writer:
        writer.begin(made.plan)
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
            beside = {path.name for path in target.parent.iterdir()} - {target.name}
            assert beside <= {"release.tar.partial.journal"}, "what a crash leaves is tidied up"
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
                writer.begin(new.plan)
                put(writer, new.layout, new.contents)

        for step in crash_points(work, target.parent, left):
            then = new if left in ("all", "synced") else OLD
            write(target, then)
            assert target.read_bytes() == then.data, f"after step {step}"
            left_by(target, OLD)
        write(target, new)
        assert target.read_bytes() == new.data
