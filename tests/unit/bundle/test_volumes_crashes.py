"""Crashes at every step of writing volumes, and what can be done with what they leave."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.crashes import Left, crash_points
from tests.support.plans import LAYERS
from tests.support.volume_sets import plan
from tests.support.volume_writing import opened, replacing, state, volumes
from tests.support.writing import (
    BIG,
    bundle_of,
    hurried,
    put,
    write_volumes,
)


@pytest.mark.parametrize("left", ["all", "synced", "journal", "data"])
class TestCrashes:
    @pytest.fixture(autouse=True)
    def imagined_syncs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What a crash leaves is decided by who plays it, so that nobody waits for a disk."""
        monkeypatch.setattr(os, "fdatasync", lambda _: None)
        monkeypatch.setattr(os, "fsync", lambda _: None)

    def test_at_every_step_of_a_run(self, target: Path, left: Left) -> None:
        """After a crash at any step, also between two names, the same command ends the same."""
        made = bundle_of([BIG[:9000], *LAYERS[:2]])
        wanted = volumes(made, 4000)

        def work() -> None:
            write_volumes(target, made, plan(made, 4000), clock=hurried())

        for step in crash_points(work, target.parent, left, every=2):
            found = state(target)
            if {name for name in found if name.endswith(".tar")} != wanted.keys():
                write_volumes(target, made, plan(made, 4000))
            got = state(target)
            assert wanted.items() <= got.items(), f"after step {step}"
            assert got.keys() - wanted.keys() <= {
                "release.tar.partial",
                "release.tar.partial.volumes",
            }
            for path in target.parent.iterdir():
                path.unlink()

    def test_again_and_again(self, target: Path, left: Left) -> None:
        """A run that crashes over and over, each time a step later, ends with the same volumes."""
        made = bundle_of([BIG[:9000], *LAYERS[:2]])
        wanted = volumes(made, 4000)

        def work() -> None:
            if not wanted.items() <= state(target).items():
                write_volumes(target, made, plan(made, 4000), clock=hurried())

        for _ in crash_points(work, target.parent, left, every=3):
            pass
        assert wanted.items() <= state(target).items()

    def test_at_every_step_of_a_move(self, target: Path, left: Left) -> None:
        """After a crash while volumes of one size become those of another, either can follow."""
        made = bundle_of([BIG[:9000], *LAYERS[:3]])
        wanted = volumes(made, 4000)

        def left_by() -> None:
            for path in list(target.parent.iterdir()):
                path.unlink()
            with opened(target) as writer:
                writer.begin(plan(made, 2900))
                put(writer, made.layout, made.contents)

        def work() -> None:
            write_volumes(target, made, plan(made, 4000), clock=hurried())

        left_by()
        for step in crash_points(work, target.parent, left, every=4):
            if not wanted.items() <= state(target).items():
                write_volumes(target, made, plan(made, 4000))
            assert wanted.items() <= state(target).items(), f"after step {step}"
            left_by()

    def test_at_every_step_of_replacing(self, target: Path, left: Left) -> None:
        """Each name has all of the old volume or all of the new one, and in the end the new."""
        old, made = bundle_of([BIG[:9000]]), bundle_of([BIG[:5000], *LAYERS[:2]])
        before, wanted = volumes(old, 2000), volumes(made, 4000)

        for path, data in before.items():
            target.with_name(path).write_bytes(data)
        for step in crash_points(lambda: replacing(target, made, 4000), target.parent, left):
            found = state(target)
            for name in before:
                assert found.get(name) in (before[name], wanted.get(name)), f"after step {step}"
            replacing(target, made, 4000)
            assert state(target) == wanted, f"after step {step}"
            for path, data in before.items():
                target.with_name(path).write_bytes(data)
