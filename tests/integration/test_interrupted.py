"""Whatever interrupts a transfer, the same command goes on, and the result is the same.

A seeded sample of all points runs by default; `make soak` (AIRGAP_SOAK=1) takes every one.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from aiohttp import web

from airgap.bundle.writer import BundleWriter
from airgap.errors import CancelledError, UnavailableError
from airgap.run.events import BlobAdvanced
from tests.support import builders
from tests.support.embedded import CutAnswer, CutBody, Drop, EmbeddedRegistry
from tests.support.transfers import (
    assert_holds,
    assert_sound,
    bring,
    cancelling,
    export,
    sent,
)

IS_SOAK = bool(os.environ.get("AIRGAP_SOAK"))
WAIT = 60


def points(total: int, count: int, seed: int = 1) -> list[int]:
    """Numbers from 1 to a total: some, or all of them when soaking."""
    every = list(range(1, total + 1))
    if IS_SOAK:
        return every
    return sorted(random.Random(seed).sample(every, min(count, total)))


class World:
    """A registry with some of everything, and the bundle that an undisturbed export makes."""

    def __init__(self, registry: EmbeddedRegistry, folder: Path) -> None:
        self.registry = registry
        shared = builders.layer(150_000, seed=50)
        self.contents = {
            "team/app:1": builders.multi_platform(layers=(60_000, 3000)),
            "team/tool:2": builders.image(layers=(shared, 90_000), seed=7),
            "other/tool:3": builders.image(layers=(shared, 20_000), seed=8),
            "charts/demo:1": builders.chart(),
        }
        for name, content in self.contents.items():
            repository, _, tag = name.partition(":")
            builders.push(registry.repository(repository), content, tag=tag)
        app = self.contents["team/app:1"]
        tag, cosign = builders.cosign_signature(app.descriptor)
        builders.push(registry.repository("team/app"), cosign, tag=tag)
        builders.push(registry.repository("team/app"), builders.sbom(app.children[0].descriptor))
        self.names = [f"{registry.host}/{name}" for name in self.contents]
        self.path = folder / "clean.tar"
        export(self.names, self.path)
        self.clean = self.path.read_bytes()
        self.requests = len(registry.seen)
        self.resolving = self.requests - len(self.fetched())
        registry.clear()

    def fetched(self) -> set[str]:
        """The digests of the blobs that were asked for."""
        return {seen.path.rpartition("/")[2] for seen in self.registry.matching("GET", "/blobs/")}

    def assert_imported(self, inside: EmbeddedRegistry) -> None:
        """Everything is on the other side."""
        for name, content in self.contents.items():
            repository, _, tag = name.partition(":")
            assert_holds(inside, repository, content, tag)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with EmbeddedRegistry() as registry:
        yield World(registry, tmp_path_factory.mktemp("world"))


@pytest.fixture(autouse=True)
def quiet(world):
    """Every test begins with a registry that works and has seen nothing."""
    world.registry.fault = None
    world.registry.clear()


def held(path):
    return {str(digest) for digest in BundleWriter.left_at(path).verified}


def go_on(world, path):
    """Finish an interrupted export, and see that it is right and asked for no more than it had."""
    before = held(path)
    world.registry.fault = None
    world.registry.clear()
    export(world.names, path)
    assert not before & world.fetched()
    assert path.read_bytes() == world.clean
    assert sorted(p.name for p in path.parent.iterdir()) == [path.name]


# -- cancelled ---------------------------------------------------------------------------------


def test_an_export_cancelled_anywhere_goes_on(world, tmp_path):
    """Stopped at any event, it is finished by the next run, which fetches nothing twice."""
    run, recorder = cancelling(10**9)
    export(world.names, tmp_path / "count.tar", run=run)
    for point in points(len(recorder.events), 25):
        folder = tmp_path / str(point)
        folder.mkdir()
        run, _ = cancelling(point)
        try:
            export(world.names, folder / "b.tar", run=run, jobs=2)
        except CancelledError:
            assert not (folder / "b.tar").exists()
            go_on(world, folder / "b.tar")
        else:
            assert (folder / "b.tar").read_bytes() == world.clean


def test_an_export_cancelled_again_and_again_ends(world, tmp_path):
    """Each run gets a little further, however short it is."""
    path = tmp_path / "b.tar"
    seen: set[str] = set()
    runs = 0
    while runs < 200:
        runs += 1
        run, _ = cancelling(2, lambda event: isinstance(event, BlobAdvanced))
        world.registry.clear()
        try:
            export(world.names, path, run=run, jobs=1)
        except CancelledError:
            assert not seen & world.fetched()
            seen = held(path)
        else:
            break
    assert 3 < runs < 200
    assert path.read_bytes() == world.clean


def test_a_half_blob_goes_on_with_a_range(tmp_path):
    """What a cancelled run wrote of a blob is not fetched again."""
    image = builders.image(layers=(4_000_000,))
    layer = image.blobs[1]
    with EmbeddedRegistry() as outside:
        builders.push(outside.repository("app"), image, tag="1")
        run, _ = cancelling(1, lambda e: isinstance(e, BlobAdvanced) and e.offset > 2_000_000)
        with pytest.raises(CancelledError):
            export(f"{outside.host}/app:1", tmp_path / "b.tar", run=run)
        outside.clear()
        export(f"{outside.host}/app:1", tmp_path / "b.tar")
        [seen] = outside.matching("GET", layer.descriptor.digest.hex)
        assert int(seen.headers["Range"].removeprefix("bytes=").rstrip("-")) > 900_000
    assert_sound(tmp_path / "b.tar")


def test_a_tag_that_moved_keeps_what_is_still_wanted(tmp_path):
    """Blobs that the new plan shares with the old one are kept, in their new places."""
    base, new = builders.layer(200_000), builders.layer(50_000, seed=9)
    old = builders.image(layers=(100_000, base), seed=1)
    moved = builders.image(layers=(base, new, 700), seed=2)
    with EmbeddedRegistry() as outside:
        repository = outside.repository("app")
        builders.push(repository, old, tag="1")
        outside.fail(Drop(), path=old.blobs[0].descriptor.digest.hex, times=100)
        with pytest.raises(UnavailableError):
            export(f"{outside.host}/app:1", tmp_path / "b.tar", jobs=1)
        assert str(base.descriptor.digest) in held(tmp_path / "b.tar")
        outside.fault = None
        builders.push(repository, moved, tag="1")
        outside.clear()
        export(f"{outside.host}/app:1", tmp_path / "b.tar")
        assert outside.count("GET", base.descriptor.digest.hex) == 0
        export(f"{outside.host}/app:1", tmp_path / "fresh.tar")
    assert (tmp_path / "b.tar").read_bytes() == (tmp_path / "fresh.tar").read_bytes()


def test_an_import_cancelled_anywhere_goes_on(world):
    """The next run skips what arrived, and everything is there in the end."""
    with EmbeddedRegistry() as inside:
        run, recorder = cancelling(10**9)
        bring(world.path, inside.host, run=run)
    for point in points(len(recorder.events), 20):
        with EmbeddedRegistry() as inside:
            run, _ = cancelling(point)
            try:
                bring(world.path, inside.host, run=run, jobs=2)
            except CancelledError:
                pass
            else:
                world.assert_imported(inside)
                continue
            finished = {s.path for s in inside.matching("HEAD", "/blobs/", 200)}
            result = bring(world.path, inside.host)
            assert result.blobs_present >= len(finished)
            world.assert_imported(inside)
            inside.clear()
            bring(world.path, inside.host)
            assert sent(inside) == []


def test_after_a_cancellation_nothing_is_sent(world):
    """No manifest and no tag follows when an import was stopped among its blobs."""
    with EmbeddedRegistry() as inside:
        run, _ = cancelling(3, lambda event: isinstance(event, BlobAdvanced))
        with pytest.raises(CancelledError):
            bring(world.path, inside.host, run=run, jobs=2)
        assert inside.count("PUT", "/manifests/") == 0


# -- killed ------------------------------------------------------------------------------------


class Killer:
    """Kills a process at the n-th request that a registry sees, perhaps after half an answer."""

    def __init__(self, at: int, seed: int) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self._left = at
        self._random = random.Random(seed * 1000 + at)
        self._is_cut = False

    def __call__(self, seen):
        self._left -= 1
        if self._left > 0:
            return None
        if not self._is_cut and self._random.random() < 0.5:
            # half of this request is served; its repetition is the end
            self._is_cut = True
            after = self._random.randrange(1, 60_000)
            return CutBody(after) if seen.method in ("PUT", "PATCH") else CutAnswer(after)
        if self.process is not None:
            self.process.kill()
        return Drop()


def killed(registry, at, *arguments, seed=1):
    """Run a command that is killed at the n-th request; gives its exit status."""
    killer = Killer(at, seed)
    command = [sys.executable, "-m", "airgap", *map(str, arguments), "-q", "--no-progress"]
    registry.clear()
    ready = threading.Event()

    def fault(seen):
        ready.wait(WAIT)
        return killer(seen)

    registry.fault = fault
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    killer.process = process
    ready.set()
    try:
        _, errors = process.communicate(timeout=WAIT)
    finally:
        process.kill()
        registry.fault = None
    assert process.returncode in (0, -9), errors.decode()
    return process.returncode


def test_a_killed_export_goes_on(world, tmp_path):
    """After kill -9 at any request the bundle is that of an undisturbed run."""
    fetching = range(world.resolving + 1, world.requests + 1)
    some = random.Random(2).sample(fetching, 8)
    for point in sorted({*points(world.requests, 3, seed=2), *some}):
        folder = tmp_path / str(point)
        folder.mkdir()
        path = folder / "b.tar"
        if killed(world.registry, point, "export", "images", *world.names, "-o", path):
            assert not path.exists()
            go_on(world, path)
        assert path.read_bytes() == world.clean


def test_an_export_killed_again_and_again_goes_on(world, tmp_path):
    """What one killed run verified, no later one fetches."""
    path = tmp_path / "b.tar"
    for attempt in range(5 if not IS_SOAK else 40):
        before = held(path)
        at = world.resolving + 3 * (attempt % 4 + 1)
        if not killed(
            world.registry, at, "export", "images", *world.names, "-o", path, seed=attempt
        ):
            break
        assert not before & world.fetched()
        assert before <= held(path)
    if not path.exists():
        assert held(path), "the runs were killed before they had anything"
        go_on(world, path)
    assert path.read_bytes() == world.clean


def test_a_killed_import_goes_on(world, tmp_path):
    """After kill -9 at any request the next run completes it, and a third sends nothing."""
    with EmbeddedRegistry() as inside:
        bring(world.path, inside.host)
        total = len(inside.seen)
    for point in points(total, 7, seed=3):
        with EmbeddedRegistry() as inside:
            killed(inside, point, "import", "bundle", world.path, "--to", inside.host)
            bring(world.path, inside.host)
            world.assert_imported(inside)
            inside.clear()
            bring(world.path, inside.host)
            assert sent(inside) == []


class Slow(EmbeddedRegistry):
    """Sends a blob in three parts with a pause before each, and the last one never."""

    digest = ""
    data = b""

    def __init__(self) -> None:
        super().__init__()
        self.is_slow = True
        self.waits = threading.Event()

    async def _answer(self, request, handler, fault):
        if not self.is_slow or self.digest not in request.path:
            return await super()._answer(request, handler, fault)
        response = web.StreamResponse(status=200)
        response.content_length = len(self.data)
        await response.prepare(request)
        third = len(self.data) // 3
        await response.write(self.data[:third])
        await asyncio.sleep(1.1)  # longer than what passes between two syncs
        await response.write(self.data[third : 2 * third])
        await asyncio.sleep(0.3)
        self.waits.set()
        await asyncio.sleep(3)
        return response


def test_a_half_blob_survives_a_kill(tmp_path):
    """What was synced of a blob before kill -9 is not fetched again."""
    image = builders.image(layers=(6_000_000,))
    path = tmp_path / "b.tar"
    with Slow() as outside:
        layer = image.blobs[1]
        outside.digest, outside.data = layer.descriptor.digest.hex, layer.data
        builders.push(outside.repository("app"), image, tag="1")
        command = [sys.executable, "-m", "airgap", "export", "images", f"{outside.host}/app:1"]
        process = subprocess.Popen([*command, "-o", path, "-q"], stderr=subprocess.DEVNULL)
        try:
            assert outside.waits.wait(WAIT)
        finally:
            process.kill()
            process.wait(WAIT)
        outside.is_slow = False
        outside.clear()
        export(f"{outside.host}/app:1", path)
        [seen] = outside.matching("GET", outside.digest)
        assert int(seen.headers.get("Range", "bytes=0-")[6:-1]) > 500_000
    assert_sound(path)
