"""Importing a bundle: what is sent, what is not, and what a failure leaves."""

from __future__ import annotations

import re

import pytest

from airgap.errors import (
    ConflictError,
    ContentNotFoundError,
    DigestMismatchError,
    ExitCode,
    IncompleteBundleError,
    UnauthorizedError,
    UnavailableError,
)
from airgap.oci.digest import Digest
from airgap.server.settings import RegistrySettings
from airgap.transfer.rehearsal import RehearsedRepository
from tests.support import builders
from tests.support.builders import AMD64
from tests.support.embedded import CutBody, Drop, EmbeddedRegistry, Lose, Status
from tests.support.transfers import assert_holds, bring, export, open_client, sent

UNAUTHORIZED = Status(403, body=b'{"errors":[{"code":"DENIED","message":"no"}]}')


def test_a_second_import_sends_nothing(pack, inside):
    """What is there is found there: no upload is begun and no manifest is put."""
    multi = builders.multi_platform()
    tag, cosign = builders.cosign_signature(multi.descriptor)
    sbom = builders.sbom(multi.descriptor)
    path = pack({"app:1": multi}, referrers=[("app", cosign, tag), ("app", sbom, None)])
    first = bring(path, inside.host)
    assert first.blobs_pushed
    inside.clear()
    second = bring(path, inside.host)
    assert sent(inside) == []
    assert (second.blobs_pushed, second.bytes_pushed, second.manifests_pushed) == (0, 0, 0)
    assert second.blobs_present == first.blobs_pushed
    assert [image.outcome for image in second.images] == ["present"]


def test_a_second_import_sends_nothing_where_the_api_is_missing(pack):
    """The fallback tag is not written again when it lists everything."""
    image = builders.image()
    path = pack({"app:1": image}, referrers=[("app", builders.sbom(image.descriptor), None)])
    with EmbeddedRegistry(settings=RegistrySettings(referrers=False)) as inside:
        bring(path, inside.host)
        inside.clear()
        bring(path, inside.host)
        assert sent(inside) == []


def test_blobs_that_are_there_are_skipped(pack, inside):
    """Only what is missing is sent."""
    layer = builders.layer(3000)
    builders.push(inside.repository("app"), builders.image(layers=(layer,), seed=9), tag="old")
    path = pack({"app:1": builders.image(layers=(layer, 100), seed=1)})
    result = bring(path, inside.host)
    assert result.blobs_present == 1
    assert result.bytes_pushed < 3000


def test_a_blob_is_sent_once_and_mounted_elsewhere(pack, inside):
    """Several repositories that share a layer cost one upload of it."""
    layer = builders.layer(3000)
    made = {f"r{n}:1": builders.image(layers=(layer,), seed=n) for n in range(4)}
    path = pack(made)
    result = bring(path, inside.host)
    assert result.blobs_mounted == 3
    assert inside.count("POST", f"mount={re.escape(str(layer.descriptor.digest))}&from=") == 3
    assert inside.count("PUT", re.escape(str(layer.descriptor.digest)), 201) == 1
    for name, content in made.items():
        assert_holds(inside, name.partition(":")[0], content, "1")


@pytest.mark.parametrize("status", [202, 401, 403, 404, 405])
def test_a_refused_mount_means_an_upload(pack, status):
    """A registry that does not mount gets the bytes."""
    layer = builders.layer(3000)
    made = {f"r{n}:1": builders.image(layers=(layer,), seed=n) for n in range(3)}
    path = pack(made)
    with EmbeddedRegistry(settings=RegistrySettings(mounts=False)) as inside:
        if status != 202:
            inside.fail(Status(status), path=r"mount=", times=1000)
        result = bring(path, inside.host)
        assert result.blobs_mounted == 0
        for name, content in made.items():
            assert_holds(inside, name.partition(":")[0], content, "1")


@pytest.mark.parametrize("chunk", [None, 1000])
def test_a_broken_upload_goes_on(pack, chunk):
    """What the registry kept of a broken upload is not sent again; chunks are as it wants them."""
    layer = builders.layer(3_000_000)
    path = pack({"app:1": builders.image(layers=(layer,))})
    settings = RegistrySettings(chunk_min_length=chunk)
    with EmbeddedRegistry(settings=settings) as inside:
        inside.fail(CutBody(after=2_000_000), method="PUT", path=layer.descriptor.digest.hex)
        bring(path, inside.host)
        assert_holds(inside, "app", builders.image(layers=(layer,)), "1")
        [patch] = [seen for seen in inside.matching("PATCH") if seen.length]
        assert patch.length < layer.descriptor.size - 900_000


@pytest.mark.parametrize("fault", [Drop(), Lose(), Status(503)])
def test_lost_answers_do_not_lose_content(pack, inside, fault):
    """Whatever request fails once, the import ends with all of it there."""
    multi = builders.multi_platform()
    path = pack({"app:1": multi})
    for method in ("HEAD", "POST", "PUT"):
        inside.fail(fault, method=method, times=2, after=1)
        bring(path, f"{inside.host}/{method.lower()}")
        assert_holds(inside, f"{method.lower()}/app", multi, "1")


def test_only_takes_what_matches(pack, inside):
    """Other images, and blobs that only they need, stay in the bundle."""
    made = {name: builders.image(seed=n) for n, name in enumerate(["a/x:1", "a/y:1", "b/x:1"])}
    result = bring(pack(made), inside.host, only=["**/a/*"])
    assert len(result.images) == 2
    assert result.blobs_pushed == 4
    assert list(inside.depot.repositories()) == ["a/x", "a/y"]


def test_another_bundle_than_the_expected_one_is_refused_before_the_first_byte(pack, inside):
    """The id is compared before the registry is even asked."""
    path = pack({"app:1": builders.image()})
    for bundle in (path, path.read_bytes()):
        with pytest.raises(DigestMismatchError) as raised:
            bring(bundle, inside.host, expect=Digest.of(b"another"))
        assert raised.value.exit_code == ExitCode.INTEGRITY
    assert inside.seen == []
    expected = bring(path, inside.host).bundle_id
    bring(path, inside.host, expect=expected)


@pytest.mark.parametrize("by_pipe", [False, True])
def test_a_dry_run_sends_nothing_and_says_what_would_be_sent(pack, inside, by_pipe):
    """Its numbers are those of the import that follows."""
    layer = builders.layer(2000)
    made = {f"r{n}:1": builders.image(layers=(layer,), seed=n) for n in range(3)}
    path = pack(made)
    planned = bring(path.read_bytes() if by_pipe else path, inside.host, dry_run=True)
    assert sent(inside) == []
    assert {image.outcome for image in planned.images} == {"planned"}
    done = bring(path, inside.host)
    assert planned.blobs_pushed == done.blobs_pushed
    assert planned.bytes_pushed == done.bytes_pushed
    assert planned.blobs_mounted == done.blobs_mounted
    assert planned.manifests_pushed == done.manifests_pushed == 3
    again = bring(path, inside.host, dry_run=True)
    assert {image.outcome for image in again.images} == {"present"}
    assert (again.blobs_pushed, again.manifests_pushed) == (0, 0)


@pytest.mark.parametrize("has_api", [True, False])
@pytest.mark.parametrize("sparse", ["index", "image"])
def test_a_dry_run_counts_manifests_and_referrers(pack, has_api, sparse):
    """It counts as the import does: indexes, what refers to them, and tags; and writes nothing."""
    multi = builders.multi_platform()
    sbom = builders.sbom(multi.descriptor)
    options = {"platforms": (AMD64,)}
    path = pack({"app:1": multi}, referrers=[("app", sbom, None)], **options)
    with EmbeddedRegistry(settings=RegistrySettings(referrers=has_api)) as there:
        planned = bring(path, there.host, dry_run=True, sparse=sparse)
        assert sent(there) == []
        done = bring(path, there.host, sparse=sparse)
    assert planned.manifests_pushed == done.manifests_pushed > 2
    assert planned.referrers == done.referrers == 1


def test_a_dry_run_can_write_nothing(inside):
    """What rehearses an import refuses whatever would change the registry."""
    with open_client() as client:
        real = client.repository(inside.host, "app", origin="destination")
        rehearsed = RehearsedRepository(real)
        image = builders.image()
        for write in (
            lambda: rehearsed.ingest(image.blobs[0].descriptor),
            lambda: rehearsed.mount(image.blobs[0].descriptor, from_repository="x"),
        ):
            with pytest.raises(AssertionError, match="would"):
                write()
        rehearsed.put_manifest(image.document, tag="1")
        assert rehearsed.resolve("1") == rehearsed.resolve(str(image.digest))
        assert rehearsed.manifest("1") is image.document
        assert real.resolve("1") is None


def test_a_repository_that_refuses_fails_its_image_alone(pack, inside):
    """With keep-going the others are imported; without it nothing is."""
    made = {"a:1": builders.image(seed=1), "b:1": builders.image(seed=2)}
    path = pack(made)
    inside.fail(UNAUTHORIZED, path=r"/v2/a/", times=1000)
    with pytest.raises(UnauthorizedError):
        bring(path, inside.host)
    result = bring(path, inside.host, keep_going=True)
    assert [f.name.rpartition("/")[2] for f in result.failed] == ["a:1"]
    assert_holds(inside, "b", made["b:1"], "1")


def test_an_upload_that_is_refused_fails_its_image_alone(pack, inside):
    """The same where reading is allowed and writing is not."""
    layer = builders.layer(1000)
    made = {f"{n}:1": builders.image(layers=(layer,), seed=ord(n)) for n in "abc"}
    path = pack(made)
    inside.fail(UNAUTHORIZED, method="POST", path=r"/v2/a/", times=1000)
    result = bring(path, inside.host, keep_going=True)
    assert [f.name.rpartition("/")[2] for f in result.failed] == ["a:1"]
    assert inside.repository("a").resolve("1") is None
    for name in "bc":
        assert_holds(inside, name, made[f"{name}:1"], "1")


def test_a_registry_that_wants_to_be_left_alone_ends_the_run(pack, inside):
    """A long Retry-After is no failure of one image, not even with keep-going."""
    path = pack({"a:1": builders.image(seed=1), "b:1": builders.image(seed=2)})
    inside.fail(Status(429, {"Retry-After": "4000"}), method="POST", times=100)
    for bundle in (path, path.read_bytes()):
        with pytest.raises(UnavailableError) as raised:
            bring(bundle, inside.host, keep_going=True)
        assert raised.value.retry_after == 4000
    assert inside.count("PUT", "/manifests/") == 0


def test_a_registry_that_takes_a_manifest_and_loses_it_is_found_out(pack, inside):
    """Every manifest is asked back; success means that it is there."""
    image = builders.image()
    path = pack({"app:1": image})
    inside.fail(Status(201), method="PUT", path=r"/manifests/", times=1)
    with pytest.raises(ContentNotFoundError, match="does not have it"):
        bring(path, inside.host)


def test_a_damaged_bundle_never_makes_a_wrong_blob_visible(pack, inside):
    """A flipped bit is found while the blob is sent, before it can be finished."""
    image = builders.image(layers=(200_000,))
    path = pack({"app:1": image})
    layer = image.blobs[1]
    data = bytearray(path.read_bytes())
    data[data.index(layer.data) + 100] ^= 1
    path.write_bytes(data)
    with pytest.raises(DigestMismatchError) as raised:
        bring(path, inside.host)
    assert raised.value.origin == "bundle"
    assert "airgap verify bundle" in (raised.value.hint or "")
    repository = inside.repository("app")
    assert not repository.has_blob(layer.descriptor)
    assert repository.resolve("1") is None
    result = bring(path, inside.host, keep_going=True)
    assert len(result.failed) == 1


def test_a_bundle_that_is_cut_short_sends_nothing(pack, inside):
    """The end of the file is looked at first."""
    path = pack({"app:1": builders.image()})
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(IncompleteBundleError):
        bring(path, inside.host)
    assert sent(inside) == []


def test_two_sources_under_one_name_are_refused_before_anything_is_sent(tmp_path, inside):
    """Keeping the hosts keeps them apart."""
    with EmbeddedRegistry() as one, EmbeddedRegistry() as two:
        for registry, seed in ((one, 1), (two, 2)):
            builders.push(registry.repository("app"), builders.image(seed=seed), tag="1")
        export([f"{one.host}/app:1", f"{two.host}/app:1"], tmp_path / "b.tar")
    with pytest.raises(ConflictError):
        bring(tmp_path / "b.tar", inside.host)
    assert inside.seen == []
    result = bring(tmp_path / "b.tar", inside.host, keep_host=True)
    assert len(set(inside.depot.repositories())) == len(result.images) == 2
