"""What an export makes of registries that break, lie and lack, and of targets that fail."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import re
import resource
import ssl
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from airgap.bundle.writer import BundleWriter
from airgap.content import posix
from airgap.errors import (
    AirgapError,
    ConflictError,
    ContentNotFoundError,
    DigestMismatchError,
    ExitCode,
    IntegrityError,
    InvalidContentError,
    LockedError,
    PartialError,
    RegistryProtocolError,
    SettingsError,
    SizeMismatchError,
    StorageError,
    StorageFullError,
    UnauthorizedError,
    UnavailableError,
)
from airgap.oci import mediatype
from airgap.oci.manifest import parse_manifest
from airgap.oci.platform import Platform
from airgap.oci.reference import Reference
from airgap.registry.options import ClientOptions
from airgap.run import Run
from airgap.transfer.export import plan_export
from tests.support import builders
from tests.support.embedded import CutAnswer, Drop, EmbeddedRegistry, Status
from tests.support.registry_client import open_lab
from tests.support.scripted_server import Reply, ScriptedServer
from tests.support.transfers import (
    Recorder,
    assert_holds,
    assert_sound,
    bring,
    catalog_of,
    export,
    open_client,
)


@dataclass(frozen=True)
class Stall:
    """Send so many bytes of a blob, and then nothing for a while."""

    start: bytes
    size: int


class StallingRegistry(EmbeddedRegistry):
    """One that knows one fault more."""

    async def _answer(self, request, handler, fault):
        if not isinstance(fault, Stall):
            return await super()._answer(request, handler, fault)
        response = web.StreamResponse(status=200)
        response.content_length = fault.size
        await response.prepare(request)
        await response.write(fault.start)
        await asyncio.sleep(2)
        return response


@pytest.fixture
def outside():
    with StallingRegistry() as registry:
        yield registry


@pytest.fixture
def image(outside):
    return builders.push(outside.repository("app"), builders.image(layers=(400_000,)), tag="1")


@pytest.fixture
def layer(image):
    return image.blobs[1]


@pytest.fixture
def name(outside, image):
    return f"{outside.host}/app:1"


@pytest.fixture
def clean(outside, name, tmp_path):
    """The bundle of an undisturbed export; the requests for it are forgotten."""
    (tmp_path / "clean").mkdir()
    path = tmp_path / "clean" / "b.tar"
    export(name, path)
    outside.clear()
    return path.read_bytes()


def ranges(registry, digest):
    return [seen.headers.get("Range") for seen in registry.matching("GET", digest.hex)]


def resumed_at(registry, layer):
    """Where the one request for a layer began."""
    [asked] = ranges(registry, layer.descriptor.digest)
    return int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0


# -- connections that break --------------------------------------------------------------------


def test_a_cut_download_goes_on_where_it_broke(outside, name, layer, clean, tmp_path):
    """Each cut costs a request with a Range and not a byte twice."""
    outside.fail(CutAnswer(after=30_000), path=layer.descriptor.digest.hex, times=3)
    export(name, tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_bytes() == clean
    asked = ranges(outside, layer.descriptor.digest)
    assert asked == [None, "bytes=30000-", "bytes=60000-", "bytes=90000-"]


def test_a_download_that_stalls_goes_on(outside, name, layer, clean, tmp_path):
    """Seconds without a byte are a broken connection."""
    stall = Stall(layer.data[:5000], layer.descriptor.size)
    outside.fail(stall, path=layer.descriptor.digest.hex)
    with open_client(timeout=0.2) as client:
        export(name, tmp_path / "b.tar", client=client)
    assert (tmp_path / "b.tar").read_bytes() == clean


def test_a_server_that_ignores_ranges_is_noticed(outside, name, layer, clean, tmp_path):
    """All of it again with 200 instead of 206: what is there already is dropped from it."""
    whole = Status(200, body=layer.data)
    outside.fail(CutAnswer(after=30_000), whole, path=layer.descriptor.digest.hex)
    export(name, tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_bytes() == clean


def test_a_server_that_goes_on_elsewhere_is_noticed(outside, name, layer, clean, tmp_path):
    """A 206 from another offset is not written at ours."""
    size = layer.descriptor.size
    headers = {"Content-Range": f"bytes 10-{size - 1}/{size}"}
    wrong = Status(206, headers, layer.data[10:])
    outside.fail(CutAnswer(after=30_000), wrong, path=layer.descriptor.digest.hex)
    export(name, tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_bytes() == clean


def test_a_registry_that_goes_away_leaves_what_came(outside, name, layer, clean, tmp_path):
    """After all retries it is an error, and the next run asks only for the rest."""
    path = tmp_path / "b.tar"
    outside.fail(CutAnswer(after=300_000), Drop(), path=layer.descriptor.digest.hex, times=100)
    with pytest.raises(UnavailableError) as raised:
        export(name, path)
    assert raised.value.exit_code == ExitCode.UNAVAILABLE
    assert not path.exists()
    outside.fault = None
    outside.clear()
    export(name, path)
    assert resumed_at(outside, layer) > 100_000
    assert path.read_bytes() == clean


def test_a_registry_that_wants_credentials_in_the_middle(outside, name, layer, clean, tmp_path):
    """What came before is kept for when there are some."""
    path = tmp_path / "b.tar"
    challenge = Status(401, {"WWW-Authenticate": 'Basic realm="x"'})
    outside.fail(CutAnswer(after=300_000), challenge, path=layer.descriptor.digest.hex, times=9)
    with pytest.raises(UnauthorizedError) as raised:
        export(name, path)
    assert "login" in (raised.value.hint or "")
    outside.fault = None
    outside.clear()
    export(name, path)
    assert resumed_at(outside, layer) > 100_000
    assert path.read_bytes() == clean


# -- registries that lie -----------------------------------------------------------------------


def wrong(data):
    return bytes(b ^ 1 for b in data)


@pytest.mark.parametrize("change", [wrong, lambda d: d[:-1], lambda d: d + b"x", lambda d: b""])
def test_wrong_bytes_are_refused_and_not_kept(outside, name, layer, clean, tmp_path, change):
    """Another content or another length is exit 20, and nothing of it stays."""
    path = tmp_path / "b.tar"
    lie = Status(200, body=change(layer.data))
    outside.fail(lie, method="GET", path=layer.descriptor.digest.hex, times=100)
    with pytest.raises(IntegrityError) as raised:
        export(name, path)
    assert raised.value.exit_code == ExitCode.INTEGRITY
    assert layer.descriptor.digest.hex in raised.value.message
    assert not path.exists()
    outside.fault = None
    outside.clear()
    export(name, path)
    assert ranges(outside, layer.descriptor.digest) == [None]
    assert path.read_bytes() == clean


def test_wrong_bytes_in_the_beginning_of_a_blob_are_thrown_away(
    outside, name, layer, clean, tmp_path
):
    """A blob that was continued and is wrong is asked for once more as a whole."""
    path = tmp_path / "b.tar"
    stall = Stall(wrong(layer.data)[:300_000], layer.descriptor.size)
    outside.fail(stall, Drop(), path=layer.descriptor.digest.hex, times=100)
    with pytest.raises(UnavailableError), open_client(timeout=0.2) as client:
        export(name, path, client=client)
    outside.fault = None
    outside.clear()
    export(name, path)
    resumed, whole = ranges(outside, layer.descriptor.digest)
    assert resumed is not None
    assert whole is None
    assert path.read_bytes() == clean


def test_a_manifest_with_another_digest_is_refused(outside, name, image, tmp_path):
    """A reference by digest gets that content or none."""
    other = builders.image(seed=5)
    lie = Status(200, {"Content-Type": image.descriptor.media_type}, other.raw)
    outside.fail(lie, path="/manifests/", times=9)
    with pytest.raises(DigestMismatchError):
        export(f"{outside.host}/app@{image.digest}", tmp_path / "b.tar")


@pytest.mark.parametrize(
    ("status", "headers", "body", "kind"),
    [
        (200, {"Content-Type": "text/html"}, b"<html>log in</html>", AirgapError),
        (200, {"Content-Type": mediatype.OCI_MANIFEST}, b"{", InvalidContentError),
        (200, {"Content-Type": mediatype.OCI_MANIFEST}, b" " * (5 << 20), InvalidContentError),
        (200, {"Content-Type": mediatype.OCI_MANIFEST}, b'{"schemaVersion":1}', AirgapError),
        (404, {}, b"", ContentNotFoundError),
        (403, {}, b"", UnauthorizedError),
        (500, {}, b"", UnavailableError),
    ],
)
def test_answers_that_are_no_manifest_are_refused(
    outside, name, tmp_path, status, headers, body, kind
):
    """Each with its own error, before a bundle is begun."""
    outside.fail(Status(status, headers, body), path="/manifests/", times=100)
    with pytest.raises(kind) as raised:
        export(name, tmp_path / "b.tar")
    assert "\n" not in raised.value.message
    assert list(tmp_path.glob("b.tar*")) == []


def test_indexes_that_lie_too_deep_in_each_other_are_refused(outside, tmp_path):
    """A chain of indexes ends somewhere."""
    content = builders.image()
    for _ in range(12):
        content = builders.index([content])
    builders.push(outside.repository("deep"), content, tag="1")
    with pytest.raises(InvalidContentError, match="deep"):
        export(f"{outside.host}/deep:1", tmp_path / "b.tar")


# -- what the source lacks ---------------------------------------------------------------------


def test_a_missing_blob_is_named(outside, name, layer, tmp_path):
    """The message says which blob of which repository; nothing is under the final name."""
    outside.repository("app").delete_blob(layer.descriptor.digest)
    with pytest.raises(ContentNotFoundError) as raised:
        export(name, tmp_path / "b.tar")
    assert str(layer.descriptor.digest) in raised.value.message
    assert f"{outside.host}/app" in raised.value.message
    assert "--allow-missing-at-source" in (raised.value.hint or "")
    assert not (tmp_path / "b.tar").exists()


def test_a_missing_blob_leaves_no_hole(outside, image, tmp_path):
    """With keep-going the bundle is that of a fresh export without the images that need it."""
    shared = builders.layer(70_000, seed=4)
    for number in range(5):
        layers = (shared, 20_000) if number % 2 else (20_000, 300)
        made = builders.image(layers=layers, seed=10 + number)
        builders.push(outside.repository(f"r{number}"), made, tag="1")
    names = [f"{outside.host}/r{number}:1" for number in range(5)]
    for number in (1, 3):
        outside.repository(f"r{number}").delete_blob(shared.descriptor.digest)
    result = export(names, tmp_path / "kept.tar", keep_going=True)
    assert [f.name for f in result.failed] == [names[1], names[3]]
    assert result.plan.failed == result.failed
    assert_sound(tmp_path / "kept.tar")
    export(names[::2], tmp_path / "fresh.tar")
    assert (tmp_path / "kept.tar").read_bytes() == (tmp_path / "fresh.tar").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fresh.tar", "kept.tar"]


def test_a_blob_that_keeps_breaking_is_left_out_with_its_image(outside, name, layer, tmp_path):
    """With keep-going a wrong blob, too, costs its image alone."""
    other = builders.push(outside.repository("other"), builders.image(seed=3), tag="1")
    lie = Status(200, body=wrong(layer.data))
    outside.fail(lie, path=layer.descriptor.digest.hex, times=100)
    result = export([name, f"{outside.host}/other:1"], tmp_path / "b.tar", keep_going=True)
    assert [f.error.exit_code for f in result.failed] == [ExitCode.INTEGRITY]
    assert [i.digest for i in catalog_of(tmp_path / "b.tar").images] == [other.digest]
    assert_sound(tmp_path / "b.tar")


def test_when_nothing_is_left_there_is_no_bundle(outside, name, layer, tmp_path):
    """Keep-going with nothing that came is exit 3 and no file under the name."""
    outside.repository("app").delete_blob(layer.descriptor.digest)
    with pytest.raises(PartialError) as raised:
        export([name, f"{outside.host}/nothing:1"], tmp_path / "b.tar", keep_going=True)
    assert raised.value.exit_code == ExitCode.PARTIAL
    assert len(raised.value.failed) == 2
    assert not (tmp_path / "b.tar").exists()


def test_an_unknown_reference_fails_alone_or_ends_the_run(outside, name, tmp_path):
    """Without keep-going the first failure stops everything, and no bundle appears."""
    unknown = f"{outside.host}/app:unknown"
    with pytest.raises(ContentNotFoundError):
        export([unknown, name], tmp_path / "b.tar")
    assert not (tmp_path / "b.tar").exists()
    result = export([unknown, name], tmp_path / "b.tar", keep_going=True)
    assert [f.name for f in result.failed] == [unknown]
    assert_sound(tmp_path / "b.tar")


def test_missing_blobs_may_be_left_out_and_listed(outside, name, image, layer, tmp_path):
    """With the option the image travels without it, and the catalog says so."""
    outside.repository("app").delete_blob(layer.descriptor.digest)
    export(name, tmp_path / "b.tar", allow_missing_at_source=True)
    assert_sound(tmp_path / "b.tar")
    [omission] = catalog_of(tmp_path / "b.tar").omitted
    assert omission.descriptor.digest == layer.descriptor.digest
    assert (omission.reason, omission.parents) == ("missing-at-source", (image.digest,))


def test_a_missing_blob_ends_an_export_to_a_pipe(outside, name, layer):
    """The front has left and promised it: no seal, whatever may be missing elsewhere."""
    outside.repository("app").delete_blob(layer.descriptor.digest)
    for options in ({}, {"allow_missing_at_source": True}, {"keep_going": True}):
        stream = io.BytesIO()
        with pytest.raises(ContentNotFoundError) as raised:
            export(name, stream, **options)
        assert str(layer.descriptor.digest) in raised.value.message
        assert b"airgap.seal" not in stream.getvalue()


def test_a_dead_referrer_and_a_pruned_child_are_named_or_listed(outside, tmp_path):
    """What a list or an index names and nobody has is an error, or an omission if allowed."""
    repository = outside.repository("app")
    multi = builders.push(repository, builders.multi_platform(), tag="1")
    sbom = builders.push(repository, builders.sbom(multi.descriptor))
    path = rf"/manifests/{re.escape(str(sbom.digest))}"
    outside.fail(Status(404), path=path, times=100)
    with pytest.raises(ContentNotFoundError, match=str(sbom.digest)):
        export(f"{outside.host}/app:1", tmp_path / "b.tar")
    export(f"{outside.host}/app:1", tmp_path / "a.tar", allow_missing_at_source=True)
    omitted = {o.descriptor.digest: o.reason for o in catalog_of(tmp_path / "a.tar").omitted}
    assert omitted == {sbom.digest: "missing-at-source"}
    child = multi.children[1]
    outside.fault = None
    repository.delete_manifest(child.digest)
    with pytest.raises(ContentNotFoundError, match=str(child.digest)):
        export(f"{outside.host}/app:1", tmp_path / "b.tar")
    chosen = (Platform("linux", "amd64"),)
    export(f"{outside.host}/app:1", tmp_path / "c.tar", platforms=chosen)
    assert child.digest in {o.descriptor.digest for o in catalog_of(tmp_path / "c.tar").omitted}


@pytest.mark.parametrize("status", [401, 403, 500, 502, 429])
def test_an_error_of_the_referrers_api_never_counts_as_none(outside, name, tmp_path, status):
    """Only a clear "not supported" means that there are none."""
    outside.fail(Status(status), path=r"/referrers/", times=1000)
    with pytest.raises((UnauthorizedError, UnavailableError)):
        export(name, tmp_path / "b.tar")
    assert not (tmp_path / "b.tar").exists()
    result = export(name, tmp_path / "b.tar", referrers=False)
    assert result.failed == ()


def test_nonsense_from_the_referrers_api_is_an_error(outside, name, tmp_path):
    """A list that cannot be read is not an empty one."""
    nonsense = Status(200, {"Content-Type": mediatype.OCI_INDEX}, b'{"manifests":[1]}')
    outside.fail(nonsense, path=r"/referrers/", times=1000)
    with pytest.raises(RegistryProtocolError):
        export(name, tmp_path / "b.tar")


def test_an_error_of_the_tag_list_never_counts_as_none(outside, name, tmp_path):
    """A server error is not a refusal."""
    outside.fail(Status(500), path=r"/tags/list", times=1000)
    with pytest.raises(UnavailableError):
        export(name, tmp_path / "b.tar")


def test_a_registry_that_wants_to_be_left_alone_ends_the_run(outside, name, layer, tmp_path):
    """A long Retry-After is not a lost blob, not even with keep-going; the run can go on later."""
    busy = Status(429, {"Retry-After": "4000"})
    outside.fail(busy, path=layer.descriptor.digest.hex, times=100)
    with pytest.raises(UnavailableError) as raised:
        export(name, tmp_path / "b.tar", keep_going=True)
    assert raised.value.retry_after == 4000
    assert not (tmp_path / "b.tar").exists()


# -- targets that fail -------------------------------------------------------------------------


def test_an_existing_file_is_not_replaced_unless_told(outside, name, clean, tmp_path):
    """It is refused before the registry is asked, and replaced with overwrite."""
    path = tmp_path / "b.tar"
    path.write_bytes(b"precious")
    outside.clear()
    with pytest.raises(ConflictError, match="exists"):
        export(name, path)
    assert outside.seen == []
    assert path.read_bytes() == b"precious"
    export(name, path, overwrite=True)
    assert path.read_bytes() == clean


def test_an_old_bundle_stays_until_the_new_one_is_whole(outside, name, layer, tmp_path):
    """A failed export with overwrite leaves what was there."""
    path = tmp_path / "b.tar"
    path.write_bytes(b"precious")
    outside.repository("app").delete_blob(layer.descriptor.digest)
    with pytest.raises(ContentNotFoundError):
        export(name, path, overwrite=True)
    assert path.read_bytes() == b"precious"


def test_a_folder_is_no_bundle(outside, name, tmp_path):
    """Exit 2: the command was wrong."""
    with pytest.raises(SettingsError):
        export(name, tmp_path)


def test_a_folder_that_is_not_there_is_named(outside, name, tmp_path):
    """Exit 30, with the path."""
    with pytest.raises(StorageError, match="nowhere"):
        export(name, tmp_path / "nowhere" / "b.tar")


def test_a_folder_that_is_not_writable_is_named(outside, name, tmp_path, monkeypatch):
    """Exit 30; the permission is refused by hand, since root may write everywhere."""
    real = os.open

    def refuse(path, *args, **options):
        if str(path).startswith(str(tmp_path)):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, *args, **options)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StorageError, match=re.escape(str(tmp_path))):
        export(name, tmp_path / "b.tar")
    assert outside.seen == []


def test_a_second_run_on_one_bundle_is_refused(outside, name, tmp_path):
    """Exit 31, and the first one is not disturbed."""
    path = tmp_path / "b.tar"
    with BundleWriter.open(path, overwrite=False, run=Run()):
        outside.clear()
        with pytest.raises(LockedError) as raised:
            export(name, path)
        assert outside.seen == []
    assert raised.value.exit_code == ExitCode.LOCKED
    export(name, path)


def test_a_full_disk_is_seen_before_the_first_blob(outside, name, tmp_path, monkeypatch):
    """The free space is that of the folder that the bundle goes to."""
    asked: list[Path] = []

    def free(path):
        asked.append(path)
        return 1000

    monkeypatch.setattr(posix, "free_bytes", free)
    with pytest.raises(StorageFullError) as raised:
        export(name, tmp_path / "b.tar")
    assert raised.value.exit_code == ExitCode.STORAGE
    assert set(asked) == {tmp_path}
    assert outside.count("GET", "/blobs/") == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_target_that_fails_in_the_middle_is_gone_on_with(outside, tmp_path, monkeypatch, code):
    """A disk that fills up, or a stick that is pulled, leaves what was verified."""
    images = [builders.image(layers=(50_000,), seed=n) for n in range(4)]
    for number, made in enumerate(images):
        builders.push(outside.repository(f"r{number}"), made, tag="1")
    names = [f"{outside.host}/r{number}:1" for number in range(4)]
    export(names, tmp_path / "clean.tar")
    real, left = posix.write_at, [60_000]

    def write_at(fd, data, offset):
        left[0] -= len(data)
        if left[0] < 0:
            raise OSError(code, os.strerror(code))
        real(fd, data, offset)

    path = tmp_path / "b.tar"
    done: set = set()
    for room in (60_000, 70_000, 80_000):
        left[0] = room
        outside.clear()
        with monkeypatch.context() as patch:
            patch.setattr(posix, "write_at", write_at)
            with pytest.raises(StorageError) as raised:
                export(names, path, jobs=1, keep_going=True)
        assert raised.value.exit_code == ExitCode.STORAGE
        assert not path.exists()
        assert not done & {s.path for s in outside.matching("GET", "/blobs/")}
        held = BundleWriter.held_by(path)
        done = {f"/v2/r{n}/blobs/{d}" for n in range(4) for d in held}
    assert done
    export(names, path)
    assert path.read_bytes() == (tmp_path / "clean.tar").read_bytes()


def test_a_file_that_may_not_grow_is_a_storage_error(outside, name, clean, tmp_path):
    """A limit of the system on the size of files is said as such, and nothing is left."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(StorageError):
            export(name, tmp_path / "b.tar")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "b.tar").exists()
    export(name, tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_bytes() == clean


def test_a_sync_that_fails_ends_the_run(outside, name, clean, tmp_path, monkeypatch):
    """What may not be durable is never called a bundle."""
    path = tmp_path / "b.tar"

    def sync_data(_fd):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(posix, "sync_data", sync_data)
        with pytest.raises(StorageError):
            export(name, path)
    assert not path.exists()
    export(name, path)
    assert path.read_bytes() == clean


# -- plans -------------------------------------------------------------------------------------


def test_a_plan_writes_nothing_and_says_what_an_export_does(outside, name, tmp_path):
    """A dry run's numbers are those of the export that follows."""
    path = tmp_path / "b.tar"
    with open_client() as client:
        plan = plan_export([Reference.parse(name)], path, client=client)
    assert list(tmp_path.iterdir()) == []
    assert outside.count("GET", "/blobs/") == 0
    result = export(name, path)
    assert plan.bundle_id == result.plan.bundle_id
    assert plan.bundle_size == path.stat().st_size
    assert plan.fetch_bytes == plan.blob_bytes == result.fetched_bytes
    assert plan.free_bytes
    assert replace(result.plan, free_bytes=None) == replace(plan, free_bytes=None)


def test_a_plan_knows_what_an_interrupted_run_left(outside, name, image, layer, tmp_path):
    """What is there is not counted as to be fetched."""
    path = tmp_path / "b.tar"
    outside.fail(Drop(), path=layer.descriptor.digest.hex, times=100)
    with pytest.raises(UnavailableError):
        export(name, path, jobs=1)
    outside.fail(Drop(), path=image.blobs[0].descriptor.digest.hex, times=100)
    with pytest.raises(UnavailableError):
        export(name, path, jobs=1)
    outside.fault = None
    with open_client() as client:
        plan = plan_export([Reference.parse(name)], path, client=client)
    assert plan.held_bytes == layer.descriptor.size
    assert plan.fetch_count == 1


def test_every_fact_is_reported_with_absolute_offsets(outside, name, image, tmp_path):
    """Each blob begins, advances to its size and ends; phases begin before they end."""
    recorder = Recorder()
    export(name, tmp_path / "b.tar", run=Run(recorder))
    kinds = [(type(e).__name__, getattr(e, "phase", "")) for e in recorder.events]
    for phase in ("resolve", "fetch", "seal"):
        assert kinds.index(("PhaseStarted", phase)) < kinds.index(("PhaseFinished", phase))
    for blob in image.blobs:
        own = [e for e in recorder.events if getattr(e, "descriptor", None) == blob.descriptor]
        names = [type(e).__name__ for e in own]
        assert (names[0], names[-1]) == ("BlobStarted", "BlobFinished")
        assert own[-2].offset == blob.descriptor.size


# -- layers that lie elsewhere -----------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path):
    """A server that has one layer, over TLS, and a client that trusts it."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with ScriptedServer(context=context) as server:
        yield server


@pytest.mark.parametrize("is_allowed", [True, False])
def test_a_foreign_layer_is_fetched_from_its_url_where_that_is_allowed(
    outside, elsewhere, tmp_path, is_allowed
):
    """A manifest cannot make airgap reach into this machine or a private network by itself."""
    layer = builders.foreign_layer(f"{elsewhere.url}/layer")
    elsewhere.on("GET", "/layer").reply(Reply(body=layer.data))
    made = builders.image(layers=(layer, 100), platform=builders.WINDOWS)
    builders.push(outside.repository("win"), made, tag="1")
    allowed = frozenset({"127.0.0.1"} if is_allowed else ())
    options = ClientOptions(ca_file=tmp_path / "ca.pem", allow_hosts=allowed, timeout=5.0)
    with open_lab(options) as lab:
        references, path = f"{outside.host}/win:1", tmp_path / "b.tar"
        if not is_allowed:
            with pytest.raises(RegistryProtocolError) as raised:
                export(references, path, client=lab.client, non_distributable=True)
            assert "--allow-host" in (raised.value.hint or "")
            assert elsewhere.requests() == []
            return
        export(references, path, client=lab.client, non_distributable=True)
    assert_sound(path)
    assert layer.descriptor.digest in dict(catalog_of(path).blobs)
    assert catalog_of(path).omitted == ()


# -- graphs that lie ---------------------------------------------------------------------------


def test_a_chain_of_referrers_ends_somewhere(outside, tmp_path):
    """Referrers of referrers of referrers are followed to a limit, and beyond it is an error."""
    repository = outside.repository("app")
    content = builders.push(repository, builders.image(), tag="1")
    for number in range(12):
        content = builders.push(repository, builders.sbom(content.descriptor, seed=number))
    with pytest.raises(InvalidContentError, match="deep"):
        export(f"{outside.host}/app:1", tmp_path / "b.tar")


def test_referrers_that_a_registry_lets_go_in_circles_are_carried_once(outside, tmp_path):
    """A list may lie and name the subject itself, or an image as its own signature's referrer."""
    repository = outside.repository("app")
    image = builders.push(repository, builders.image(), tag="1")
    sbom = builders.push(repository, builders.sbom(image.descriptor))
    listed = builders.dumps(
        {"schemaVersion": 2, "manifests": [c.descriptor.to_json() for c in (image, sbom)]}
    )
    lie = Status(200, {"Content-Type": mediatype.OCI_INDEX}, listed)
    outside.fail(lie, path=r"/referrers/", times=1000)
    export(f"{outside.host}/app:1", tmp_path / "b.tar")
    assert_sound(tmp_path / "b.tar")
    assert len(catalog_of(tmp_path / "b.tar").manifests) == 2
    with EmbeddedRegistry() as inside:
        bring(tmp_path / "b.tar", inside.host)
        bring(tmp_path / "b.tar", inside.host)
        assert_holds(inside, "app", image, "1")
        assert_holds(inside, "app", sbom)


def test_a_size_that_contradicts_the_content_is_refused(outside, tmp_path):
    """An index that lies about a size would make a bundle that the other side refuses."""
    repository = outside.repository("app")
    image = builders.push(repository, builders.image())
    entry = replace(image.entry, size=image.entry.size + 1).to_json()
    raw = builders.dumps({"schemaVersion": 2, "manifests": [entry]})
    repository.put_manifest(parse_manifest(raw, mediatype.OCI_INDEX), tag="1")
    with pytest.raises(SizeMismatchError) as raised:
        export(f"{outside.host}/app:1", tmp_path / "b.tar")
    assert raised.value.exit_code == ExitCode.INTEGRITY
    assert outside.count("GET", "/blobs/") == 0
