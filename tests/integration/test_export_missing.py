"""What the source lacks is named, left out with its images, or listed: never forgotten."""

from __future__ import annotations

import io
import re

import pytest

from airgap.errors import (
    ContentNotFoundError,
    ExitCode,
    InvalidContentError,
    PartialError,
    RegistryProtocolError,
    UnauthorizedError,
    UnavailableError,
)
from airgap.oci import mediatype
from airgap.oci.platform import Platform
from airgap.oci.referrers import fallback_tag
from airgap.server.settings import RegistrySettings
from tests.support import builders
from tests.support.embedded import EmbeddedRegistry, Status
from tests.support.transfers import (
    assert_sound,
    catalog_of,
    export,
)


def wrong(data):
    return bytes(b ^ 1 for b in data)


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


def test_a_fallback_tag_that_names_no_list_is_an_error(tmp_path):
    """What stands there is not taken for "nothing refers to it", and no bug comes of it."""
    with EmbeddedRegistry(settings=RegistrySettings(referrers=False)) as outside:
        image = builders.push(outside.repository("app"), builders.image(), tag="1")
        other = builders.image(seed=5)
        builders.push(outside.repository("app"), other, tag=fallback_tag(image.digest))
        with pytest.raises(InvalidContentError, match="is no index"):
            export(f"{outside.host}/app:1", tmp_path / "b.tar")


def test_a_registry_that_wants_to_be_left_alone_ends_the_run(outside, name, layer, tmp_path):
    """A long Retry-After is not a lost blob, not even with keep-going; the run can go on later."""
    busy = Status(429, {"Retry-After": "4000"})
    outside.fail(busy, path=layer.descriptor.digest.hex, times=100)
    with pytest.raises(UnavailableError) as raised:
        export(name, tmp_path / "b.tar", keep_going=True)
    assert raised.value.retry_after == 4000
    assert not (tmp_path / "b.tar").exists()


@pytest.mark.parametrize("path", ["/manifests/", "/referrers/"])
def test_a_registry_that_wants_to_be_left_alone_is_not_asked_for_the_rest(
    outside, name, tmp_path, path
):
    """With keep-going, too, a long Retry-After ends the run instead of failing every image."""
    outside.fail(Status(429, {"Retry-After": "4000"}), path=path, times=100)
    with pytest.raises(UnavailableError) as raised:
        export([name, f"{outside.host}/other:1"], tmp_path / "b.tar", keep_going=True, jobs=1)
    assert raised.value.retry_after == 4000
    assert outside.count("GET", path) == 1


def test_a_blob_that_stays_busy_is_lost_alone(outside, name, layer, tmp_path):
    """A short Retry-After again and again is a failure like others: keep-going goes on."""
    builders.push(outside.repository("other"), builders.image(seed=3), tag="1")
    busy = Status(503, {"Retry-After": "1"})
    outside.fail(busy, path=layer.descriptor.digest.hex, times=100)
    result = export([name, f"{outside.host}/other:1"], tmp_path / "b.tar", keep_going=True)
    assert [failure.name for failure in result.failed] == [name]
    assert_sound(tmp_path / "b.tar")
