"""The registry client reads and writes manifests, tags and referrers."""

from __future__ import annotations

import json

import pytest

from airgap.errors import (
    AirgapError,
    ContentNotFoundError,
    DigestMismatchError,
    InvalidContentError,
    MissingSuccessorError,
    RegistryProtocolError,
    UnauthorizedError,
    UnavailableError,
)
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import parse_manifest
from airgap.registry.repository import Repository
from tests.support.scripted_server import Reply, ScriptedServer

CONFIG = Descriptor.of(b"{}", mediatype.OCI_CONFIG)
RAW = json.dumps({"schemaVersion": 2, "config": CONFIG.to_json(), "layers": []}).encode()
DIGEST = Digest.of(RAW)
SUBJECT = Descriptor.of(b"subject", mediatype.OCI_MANIFEST)
REFERRER = json.dumps(
    {"schemaVersion": 2, "config": CONFIG.to_json(), "layers": [], "subject": SUBJECT.to_json()}
).encode()
MANIFESTS = r"/v2/team/app/manifests/.*"


def served(raw: bytes = RAW, kind: str = mediatype.OCI_MANIFEST, **headers: str) -> Reply:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Reply(200, {"Content-Type": kind, **named}, raw)


def test_a_manifest_comes_with_one_get(server: ScriptedServer, repository: Repository) -> None:
    """A manifest is asked for once, with all manifest types, and keeps its exact bytes."""
    server.on("GET", MANIFESTS).reply(served())
    document = repository.manifest("1.0")
    assert document.raw == RAW
    assert document.descriptor == Descriptor(mediatype.OCI_MANIFEST, DIGEST, len(RAW))
    [seen] = server.requests()
    assert str(seen) == "GET /v2/team/app/manifests/1.0"
    for kind in (*mediatype.INDEXES, mediatype.OCI_MANIFEST, mediatype.DOCKER_MANIFEST):
        assert kind in seen.headers["accept"]


def test_wrong_bytes_are_a_digest_mismatch(server: ScriptedServer, repository: Repository) -> None:
    """What is asked for by digest must hash to it, whatever the headers say."""
    server.on("GET", MANIFESTS).reply(served(RAW + b" ", Docker_Content_Digest=str(DIGEST)))
    with pytest.raises(DigestMismatchError) as caught:
        repository.manifest(str(DIGEST))
    assert caught.value.expected == str(DIGEST)
    assert caught.value.origin == "source"


def test_a_lie_about_the_digest_is_noticed(server: ScriptedServer, repository: Repository) -> None:
    """A Docker-Content-Digest that does not fit the bytes is an integrity error, by tag too."""
    other = str(Digest.of(b"other"))
    server.on("GET", MANIFESTS).reply(served(Docker_Content_Digest=other))
    with pytest.raises(DigestMismatchError):
        repository.manifest("1.0")


def test_sha512_references_are_verified_by_sha512(
    server: ScriptedServer, repository: Repository
) -> None:
    """The algorithm of the reference counts, beside a header of another algorithm."""
    wanted = Digest.of(RAW, "sha512")
    server.on("GET", MANIFESTS).reply(served(Docker_Content_Digest=str(DIGEST)))
    assert repository.manifest(str(wanted)).descriptor.digest == wanted


@pytest.mark.parametrize("has_length", [True, False])
def test_a_large_manifest_is_refused(
    server: ScriptedServer, repository: Repository, has_length: bool
) -> None:
    """More than 4 MiB are not read, told beforehand or not."""
    big = RAW + b" " * (4 << 20)
    reply = served(big)
    reply.has_length = has_length
    server.on("GET", MANIFESTS).reply(reply)
    with pytest.raises(InvalidContentError, match="larger than"):
        repository.manifest("1.0")


def test_a_cut_manifest_is_asked_for_again(server: ScriptedServer, repository: Repository) -> None:
    """A body that breaks off is repeated, since a part of a manifest is none."""
    reply = served()
    reply.cut_after = 10
    server.on("GET", MANIFESTS).reply(reply, served())
    assert repository.manifest("1.0").raw == RAW


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("text/html", b"<html>login</html>"),
        (mediatype.OCI_MANIFEST, b"<html>login</html>"),
        (mediatype.OCI_MANIFEST, b"not json"),
        (mediatype.OCI_INDEX, b'{"mediaType":"application/vnd.oci.image.manifest.v1+json"}'),
    ],
)
def test_nonsense_is_no_manifest(
    server: ScriptedServer, repository: Repository, kind: str, raw: bytes
) -> None:
    """HTML, broken JSON and a wrong media type are the registry's fault: exit 13 and its side."""
    server.on("GET", MANIFESTS).reply(served(raw, kind))
    with pytest.raises(RegistryProtocolError) as caught:
        repository.manifest("1.0")
    assert caught.value.exit_code == 13
    assert caught.value.origin == "source"


def test_a_vague_type_is_replaced_by_the_descriptors(
    server: ScriptedServer, repository: Repository
) -> None:
    """Where the server sends JSON without a type, the caller's descriptor tells it."""
    server.on("GET", MANIFESTS).reply(served(kind="application/json"))
    document = repository.manifest("1.0", media_type=mediatype.DOCKER_MANIFEST)
    assert document.descriptor.media_type == mediatype.DOCKER_MANIFEST


def test_a_manifest_that_is_not_there_is_not_found(
    server: ScriptedServer, repository: Repository
) -> None:
    """A 404 says what was looked for, and passes the registry's words on, cleaned."""
    server.on("GET", MANIFESTS).reply(
        Reply.error(404, "MANIFEST_UNKNOWN", "no\x1b[31m" + "x" * 900)
    )
    with pytest.raises(ContentNotFoundError, match=r"team/app:1\.0.*MANIFEST_UNKNOWN") as caught:
        repository.manifest("1.0")
    assert "\x1b" not in caught.value.message
    assert len(caught.value.message) < 400


def test_resolving_asks_for_the_headers_only(
    server: ScriptedServer, repository: Repository
) -> None:
    """A HEAD that tells digest, type and size is enough."""
    server.on("HEAD", MANIFESTS).reply(served(Docker_Content_Digest=str(DIGEST)))
    assert repository.resolve("1.0") == Descriptor(mediatype.OCI_MANIFEST, DIGEST, len(RAW))
    assert len(server.requests()) == 1


@pytest.mark.parametrize(
    "head",
    [
        served(),
        served(kind="application/json", Docker_Content_Digest=str(DIGEST)),
        Reply(405),
        Reply(200, {"Content-Type": mediatype.OCI_MANIFEST, "Docker-Content-Digest": "sha256:x"}),
    ],
)
def test_resolving_gets_what_the_headers_do_not_tell(
    server: ScriptedServer, repository: Repository, head: Reply
) -> None:
    """Where digest, type or size are missing, the manifest itself tells them."""
    server.on("HEAD", MANIFESTS).reply(head)
    server.on("GET", MANIFESTS).reply(served())
    assert repository.resolve("1.0") == Descriptor(mediatype.OCI_MANIFEST, DIGEST, len(RAW))


def test_resolving_what_is_not_there_gives_none(
    server: ScriptedServer, repository: Repository
) -> None:
    """A 404 is an answer, not an error; a refusal is an error."""
    server.on("HEAD", MANIFESTS).reply(Reply(404), Reply(403))
    assert repository.resolve("1.0") is None
    with pytest.raises(UnauthorizedError):
        repository.resolve("1.0")


def test_resolving_a_digest_compares_it(server: ScriptedServer, repository: Repository) -> None:
    """A HEAD by digest that answers another digest is an integrity error."""
    server.on("HEAD", MANIFESTS).reply(served(Docker_Content_Digest=str(Digest.of(b"x"))))
    with pytest.raises(DigestMismatchError):
        repository.resolve(str(DIGEST))


def test_a_manifest_is_pushed_as_it_is(server: ScriptedServer, repository: Repository) -> None:
    """The exact bytes go out with their media type, by tag or by digest."""
    server.on("PUT", MANIFESTS).reply(Reply(201, {"Docker-Content-Digest": str(DIGEST)}))
    document = parse_manifest(RAW, mediatype.DOCKER_MANIFEST)
    repository.put_manifest(document, tag="1.0")
    repository.put_manifest(document)
    first, second = server.requests()
    assert first.path.endswith("/1.0")
    assert second.path.endswith(f"/{DIGEST}")
    assert {first.body, second.body} == {RAW}
    assert first.headers["content-type"] == mediatype.DOCKER_MANIFEST
    assert repository.has_referrers_api is None


def test_a_changed_manifest_is_noticed(server: ScriptedServer, repository: Repository) -> None:
    """A registry that stored other bytes tells another digest."""
    server.on("PUT", MANIFESTS).reply(Reply(201, {"Docker-Content-Digest": str(Digest.of(b"x"))}))
    with pytest.raises(DigestMismatchError):
        repository.put_manifest(parse_manifest(RAW, mediatype.OCI_MANIFEST))


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "MANIFEST_BLOB_UNKNOWN"), (400, "MANIFEST_BLOB_UNKNOWN"), (400, "MANIFEST_UNKNOWN")],
)
def test_missing_successors_are_told_apart(
    server: ScriptedServer, repository: Repository, status: int, code: str
) -> None:
    """A registry that wants the rest first is told from one that lacks the repository."""
    server.on("PUT", MANIFESTS).reply(Reply.error(status, code))
    with pytest.raises(MissingSuccessorError) as caught:
        repository.put_manifest(parse_manifest(RAW, mediatype.OCI_MANIFEST))
    assert caught.value.wire_codes == (code,)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply.error(404, "NAME_UNKNOWN"), ContentNotFoundError),
        (Reply.error(400, "MANIFEST_INVALID"), RegistryProtocolError),
        (Reply.error(413, "SIZE_INVALID"), RegistryProtocolError),
        (Reply.error(403, "DENIED"), UnauthorizedError),
        (Reply(502), UnavailableError),
    ],
)
def test_refused_manifests_say_why(
    server: ScriptedServer, repository: Repository, reply: Reply, expected: type[AirgapError]
) -> None:
    """Each refusal of a manifest is the error that its status means."""
    server.on("PUT", MANIFESTS).reply(reply)
    with pytest.raises(expected) as caught:
        repository.put_manifest(parse_manifest(RAW, mediatype.OCI_MANIFEST))
    assert not isinstance(caught.value, MissingSuccessorError)


def test_wire_codes_travel_with_the_error(server: ScriptedServer, repository: Repository) -> None:
    """Status and codes of a refusal are data of the error."""
    server.on("PUT", MANIFESTS).reply(Reply.error(400, "MANIFEST_INVALID", "bad"))
    with pytest.raises(RegistryProtocolError, match="MANIFEST_INVALID: bad") as caught:
        repository.put_manifest(parse_manifest(RAW, mediatype.OCI_MANIFEST))
    assert caught.value.wire_codes == ("MANIFEST_INVALID",)
    assert caught.value.status == 400


def test_the_subject_that_comes_back_is_remembered(
    server: ScriptedServer, repository: Repository
) -> None:
    """OCI-Subject says that there is a referrers API, its absence that there is none."""
    subject = {"OCI-Subject": str(SUBJECT.digest)}
    server.on("PUT", MANIFESTS).reply(Reply(201, subject), Reply(201))
    document = parse_manifest(REFERRER, mediatype.OCI_MANIFEST)
    repository.put_manifest(document)
    assert repository.has_referrers_api is True
    repository.put_manifest(document)
    assert repository.has_referrers_api is False
