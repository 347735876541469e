"""What an export makes of answers that are not what was asked for."""

from __future__ import annotations

import ssl
from dataclasses import replace

import pytest
import trustme

from airgap.errors import (
    AirgapError,
    ContentNotFoundError,
    DigestMismatchError,
    ExitCode,
    InvalidContentError,
    RegistryProtocolError,
    SettingsError,
    SizeMismatchError,
    UnauthorizedError,
    UnavailableError,
)
from airgap.oci import mediatype
from airgap.oci.manifest import parse_manifest
from airgap.registry.options import ClientOptions
from tests.support import builders
from tests.support.embedded import EmbeddedRegistry, Status
from tests.support.registry_client import open_lab
from tests.support.scripted_server import Reply, ScriptedServer
from tests.support.transfers import (
    assert_holds,
    assert_sound,
    bring,
    catalog_of,
    export,
)


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


def test_more_manifests_than_a_bundle_may_hold_end_the_export(
    outside, tmp_path, monkeypatch
) -> None:
    """Indexes that name others without end are not all read: the limit of readers ends it."""
    multi = builders.push(outside.repository("many"), builders.multi_platform(), tag="1")
    sizes = [len(part.raw) for part in multi.walk()]
    monkeypatch.setattr("airgap.transfer.resolve.MAX_DOCUMENTS", sum(sizes) - 1)
    for keep_going in (False, True):
        with pytest.raises(SettingsError, match="too much for one bundle"):
            export(f"{outside.host}/many:1", tmp_path / "b.tar", keep_going=keep_going)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("airgap.transfer.resolve.MAX_DOCUMENTS", sum(sizes))
    export(f"{outside.host}/many:1", tmp_path / "b.tar")


@pytest.mark.parametrize("limit", ["front.MAX_SIZE", "closure.MAX_STEPS", "catalog.MAX_SIZE"])
def test_what_readers_would_refuse_is_not_written(name, tmp_path, monkeypatch, limit) -> None:
    """The limits of readers are those of the export, which says so before the first byte."""
    monkeypatch.setattr(f"airgap.bundle.{limit}", 2)
    with pytest.raises(SettingsError, match="too much for one bundle"):
        export(name, tmp_path / "b.tar")
    assert list(tmp_path.iterdir()) == []
