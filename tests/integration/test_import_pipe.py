"""Importing from a pipe: the same result as from a file, with nothing on disk."""

from __future__ import annotations

import functools
import io
import os
import threading

import pytest

from airgap.errors import DigestMismatchError, ExitCode, IncompleteBundleError, UnavailableError
from airgap.server.settings import RegistrySettings
from airgap.transfer import push_blobs
from airgap.transfer.window import Window
from tests.support import builders
from tests.support.command_line import airgap, assert_refused
from tests.support.embedded import CutBody, EmbeddedRegistry, Status
from tests.support.transfers import assert_holds, bring, sent

SMALL = 256 * 1024
"""A window that a test can fill."""


@pytest.fixture
def small_window(monkeypatch):
    """Keep little of what passes, as 64 MiB are little for real layers."""
    monkeypatch.setattr(push_blobs, "Window", functools.partial(Window, size=SMALL))


class Trickle(io.RawIOBase):
    """Bytes in small pieces; asks a question before each."""

    def __init__(self, data, look=lambda offset: None, size=50_000):
        self._stream = io.BytesIO(data)
        self._look = look
        self._size = size

    def read(self, size=-1):
        self._look(self._stream.tell())
        return self._stream.read(min(size, self._size))


def shared(count, size):
    layer = builders.layer(size)
    return layer, {f"r{n}:1": builders.image(layers=(layer,), seed=n) for n in range(count)}


def assert_all(registry, contents):
    for name, content in contents.items():
        repository, _, tag = name.partition(":")
        assert_holds(registry, repository, content, tag)


def test_a_real_pipe_gives_the_same_result(pack, inside):
    """What comes through a pipe of the system arrives as from the file."""
    made = {"app:1": builders.multi_platform(layers=(300_000,)), "chart:1": builders.chart()}
    data = pack(made).read_bytes()
    reading, writing = os.pipe()

    def write():
        with os.fdopen(writing, "wb") as stream:
            stream.write(data)

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(reading, "rb") as stream:
        result = bring(stream, inside.host)
    thread.join(10)
    assert {image.outcome for image in result.images} == {"pushed"}
    assert_all(inside, made)


def test_no_manifest_and_no_tag_is_set_before_the_seal(pack, inside):
    """Only when the whole bundle has passed does anything get a name."""
    data = pack({"app:1": builders.image(layers=(200_000,))}).read_bytes()
    early = []

    def look(offset):
        if offset < len(data):
            early.extend(inside.matching("PUT", "/manifests/"))

    bring(Trickle(data, look), inside.host)
    assert early == []
    assert inside.count("PUT", "/manifests/") == 1


def test_a_pipe_that_is_cut_sets_nothing(pack, inside):
    """Wherever it ends, no manifest is there; the next pipe skips what arrived."""
    image = builders.image(layers=(100_000, 100))
    data = pack({"app:1": image}).read_bytes()
    for end in (100, len(data) // 3, data.index(image.blobs[1].data) + 50_000, len(data) - 1):
        with pytest.raises(IncompleteBundleError):
            bring(data[:end], inside.host)
        assert inside.count("PUT", "/manifests/") == 0
    result = bring(data, inside.host)
    assert result.blobs_present
    assert_all(inside, {"app:1": image})


@pytest.mark.parametrize("keep_going", [False, True])
def test_a_damaged_blob_in_a_pipe_never_becomes_visible(pack, inside, keep_going):
    """The last chunk is held back until the digest is right; other images may go on."""
    made = {"a:1": builders.image(layers=(150_000,), seed=1), "b:1": builders.image(seed=2)}
    data = bytearray(pack(made).read_bytes())
    layer = made["a:1"].blobs[1]
    data[data.index(layer.data) + 1000] ^= 8
    if keep_going:
        result = bring(bytes(data), inside.host, keep_going=True)
        assert [f.error.exit_code for f in result.failed] == [ExitCode.INTEGRITY]
        assert_holds(inside, "b", made["b:1"], "1")
    else:
        with pytest.raises(DigestMismatchError):
            bring(bytes(data), inside.host)
    assert not inside.repository("a").has_blob(layer.descriptor)
    assert inside.repository("a").resolve("1") is None


@pytest.mark.parametrize("mounts", [True, False])
@pytest.mark.parametrize("size", [1000, 1_000_000])
def test_a_blob_wanted_in_several_repositories_arrives_in_all(pack, small_window, mounts, size):
    """It is mounted where the registry does that, and sent to all at once where it does not."""
    layer, made = shared(3, size)
    data = pack(made).read_bytes()
    with EmbeddedRegistry(settings=RegistrySettings(mounts=mounts)) as inside:
        result = bring(data, inside.host)
        assert_all(inside, made)
        uploads = inside.count("PUT", layer.descriptor.digest.hex, 201)
        if not mounts:
            assert uploads == 3
            assert result.blobs_mounted == 0
        else:
            assert uploads == 1
            assert result.blobs_mounted == 2


def test_more_repositories_than_connections_want_a_large_blob_that_is_mounted(
    pack, small_window, inside
):
    """Whether the registry mounts is asked with a config, which comes earlier in the pipe."""
    _, made = shared(5, 1_000_000)
    result = bring(pack(made).read_bytes(), inside.host, jobs=2)
    assert result.blobs_mounted == 4
    assert_all(inside, made)


def test_a_large_blob_is_mounted_once_mounts_were_seen_to_work(pack, small_window, inside):
    """Configs come first in the pipe, so the first small blob that is shared tells."""
    small, large = builders.layer(1000), builders.layer(1_000_000, seed=1)
    made = {f"r{n}:1": builders.image(layers=(small, large), seed=n) for n in range(3)}
    result = bring(pack(made).read_bytes(), inside.host)
    assert inside.count("PUT", large.descriptor.digest.hex, 201) == 1
    assert result.blobs_mounted == 4
    assert_all(inside, made)


@pytest.mark.parametrize("size", [1000, 1_000_000])
def test_more_repositories_than_connections_do_not_wait_for_each_other(pack, small_window, size):
    """What fits the window goes to all, a few at a time; what does not takes another pipe."""
    _, made = shared(5, size)
    data = pack(made).read_bytes()
    with EmbeddedRegistry(settings=RegistrySettings(mounts=False)) as inside:
        if size > SMALL:
            for _ in range(2):
                with pytest.raises(UnavailableError) as raised:
                    bring(data, inside.host, jobs=2)
                assert "--jobs" in (raised.value.hint or "")
                assert inside.count("PUT", "/manifests/") == 0
        bring(data, inside.host, jobs=2)
        assert_all(inside, made)


def test_a_repository_that_refuses_does_not_hold_the_others(pack, small_window):
    """The refused one takes nothing from the window; the rest go on once it is out of the way."""
    layer, made = shared(3, 4_000_000)
    data = pack(made).read_bytes()
    refused = []

    def refuse(seen):
        is_there = seen.method == "POST" and seen.path.startswith("/v2/r1/")
        if is_there and (refused or layer.descriptor.digest.hex in seen.query):
            refused.append(seen)
        return Status(403) if is_there and refused else None

    with EmbeddedRegistry(settings=RegistrySettings(mounts=False)) as inside:
        inside.fault = refuse
        result = bring(data, inside.host, keep_going=True)
        assert [f.name.rpartition("/")[2] for f in result.failed] == ["r1:1"]
        for name in ("r0", "r2"):
            assert_holds(inside, name, made[f"{name}:1"], "1")


def test_an_upload_that_breaks_within_the_window_goes_on(pack, inside):
    """The bytes that the registry lacks are still there."""
    image = builders.image(layers=(3_000_000,))
    data = pack({"app:1": image}).read_bytes()
    hex_digits = image.blobs[1].descriptor.digest.hex
    inside.fail(CutBody(after=1_500_000), method="PUT", path=hex_digits)
    bring(data, inside.host)
    assert_all(inside, {"app:1": image})
    assert inside.count("PATCH") >= 1


def test_an_upload_that_breaks_beyond_the_window_ends_the_run(pack, small_window, inside):
    """Exit 12, and the hint to pipe it again; then what arrived is skipped."""
    image = builders.image(layers=(3_000_000,))
    data = pack({"app:1": image}).read_bytes()
    hex_digits = image.blobs[1].descriptor.digest.hex

    class Forgetful:
        """Takes a part, and knows nothing of it afterwards."""

        def __init__(self):
            self.is_over = False

        def __call__(self, seen):
            if hex_digits in str(seen) and seen.method == "PUT" and not self.is_over:
                self.is_over = True
                return CutBody(after=2_500_000)
            if self.is_over and seen.method == "GET" and "/uploads/" in seen.path:
                return Status(404)
            return None

    inside.fault = Forgetful()
    with pytest.raises(UnavailableError) as raised:
        bring(data, inside.host)
    assert raised.value.exit_code == ExitCode.UNAVAILABLE
    assert raised.value.hint == "pipe it again, what arrived is skipped"
    assert inside.repository("app").resolve("1") is None
    inside.fault = None
    result = bring(data, inside.host)
    assert result.blobs_present == 1
    assert_all(inside, {"app:1": image})


def test_what_is_not_wanted_passes(pack, inside):
    """Blobs of images that were not chosen are read and dropped."""
    made = {f"r{n}:1": builders.image(layers=(50_000,), seed=n) for n in range(3)}
    data = pack(made).read_bytes()
    result = bring(data, inside.host, only=["**/r1"])
    assert result.blobs_pushed == 2
    assert list(inside.depot.repositories()) == ["r1"]


def test_piping_again_sends_nothing(pack, inside):
    """The second pipe finds everything there."""
    data = pack({"app:1": builders.multi_platform()}).read_bytes()
    bring(data, inside.host)
    inside.clear()
    bring(data, inside.host)
    assert sent(inside) == []


def test_a_pipe_is_one_bundle_and_the_hint_knows_of_globs():
    """`--signature *.sig` with two files leaves one behind that looks like another bundle."""
    take = ("import", "bundle", "-", "--to", "127.0.0.1:1", "--signature", "a.sig", "b.sig")
    assert_refused(airgap(*take), 2, "settings", "nothing can be named beside it", "each time")


def test_what_a_piped_update_lacks_is_asked_for_with_a_file(outside, inside, tmp_path):
    """The command of the hint cannot read the pipe once more, so it has a place for a name."""
    image = builders.image(layers=(3000,), seed=4)
    builders.push(outside.repository("app"), image, tag="1")
    name, whole, update = f"{outside.host}/app:1", tmp_path / "w.tar", tmp_path / "u.tar"
    assert airgap("export", "images", name, "-o", whole).code == 0
    assert airgap("export", "images", name, "-o", update, "--against", whole).code == 0
    done = airgap("import", "bundle", "-", "--to", inside.host, stdin=update.read_bytes())
    assert done.code == 23
    assert f"--from {inside.host} --missing-for BUNDLE -o" in done.err
