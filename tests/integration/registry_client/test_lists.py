"""The registry client lists tags and referrers, page by page."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airgap.errors import (
    AirgapError,
    RegistryProtocolError,
    UnauthorizedError,
    UnavailableError,
)
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.registry.credentials import Credential
from airgap.registry.repository import Repository
from tests.support.registry_client import Lab
from tests.support.scripted_server import Reply, ScriptedServer

DIGEST = Digest.of(b"subject")
TAGS = r"/v2/team/app/tags/list.*"
REFERRERS = rf"/v2/team/app/referrers/{DIGEST}.*"


def page(*tags: str, link: str = "") -> Reply:
    headers = {"Link": link} if link else {}
    return Reply.json({"name": "team/app", "tags": list(tags)}, **headers)


def test_tags_come_page_by_page(server: ScriptedServer, repository: Repository) -> None:
    """Links are followed, relative and absolute, one request a page and none too early."""
    one = '</v2/team/app/tags/list?n=1000&last=b>; rel="next"'
    two = f"<{server.url}/v2/team/app/tags/list?n=1000&last=d>; foo=bar; rel=next"
    server.on("GET", r".*\?n=1000").reply(page("a", "b", link=one))
    server.on("GET", r".*last=b").reply(page("c", "d", link=two))
    server.on("GET", r".*last=d").reply(page("e"))
    tags = repository.tags()
    assert [next(tags), next(tags)] == ["a", "b"]
    assert len(server.requests()) == 1
    assert list(tags) == ["c", "d", "e"]
    assert len(server.requests()) == 3


def test_no_repository_has_no_tags(server: ScriptedServer, repository: Repository) -> None:
    """A repository that does not exist has no tags, and one may say null."""
    server.on("GET", TAGS).reply(Reply.error(404, "NAME_UNKNOWN"), Reply.json({"tags": None}))
    assert list(repository.tags()) == []
    assert list(repository.tags()) == []


@pytest.mark.parametrize(
    "reply",
    [
        page("a", link='</v2/team/app/tags/list?n=1000>; rel="next"'),
        Reply(200, {"Content-Type": "text/html"}, b"<!doctype html>"),
        Reply(404, {"Content-Type": "text/html"}, b"<!doctype html>"),
        Reply.json({"tags": ["../etc"]}),
        Reply.json({"tags": "a"}),
        Reply.json(["a"]),
        Reply(200, {"Content-Type": "application/json"}, b" " * (5 << 20)),
    ],
)
def test_tags_that_make_no_sense_are_refused(
    server: ScriptedServer, repository: Repository, reply: Reply
) -> None:
    """Circles, HTML, what is no tag, and endless pages break the protocol."""
    server.on("GET", TAGS).reply(reply)
    with pytest.raises(RegistryProtocolError) as caught:
        list(repository.tags())
    assert caught.value.origin == "source"


def test_pages_that_repeat_are_refused(server: ScriptedServer, repository: Repository) -> None:
    """A server that gives the same page under ever new links does not hold us for ever."""
    answers = iter(range(50))
    server.on("GET", TAGS).reply(
        lambda _: page("a", "b", link=f'</v2/team/app/tags/list?x={next(answers)}>; rel="next"')
    )
    with pytest.raises(RegistryProtocolError, match="again and again"):
        list(repository.tags())
    assert len(server.requests()) == 2


def test_a_full_page_without_a_link_is_not_taken_for_the_end(
    server: ScriptedServer, repository: Repository
) -> None:
    """A registry that cuts its list without a Link is asked for what comes behind."""
    first = [f"t{number:04}" for number in range(1000)]
    server.on("GET", r".*last=t0999").reply(page("u"))
    server.on("GET", TAGS).reply(page(*first))
    assert list(repository.tags()) == [*first, "u"]


def test_a_list_that_cannot_be_gone_on_with_is_refused(
    server: ScriptedServer, repository: Repository
) -> None:
    """The same full page again means that nobody can know what is behind it."""
    server.on("GET", TAGS).reply(page(*(f"t{number:04}" for number in range(1000))))
    with pytest.raises(RegistryProtocolError, match="again"):
        list(repository.tags())


def test_a_link_elsewhere_gets_no_credentials(server: ScriptedServer, lab: Lab) -> None:
    """A Link that leads to another port is asked without Authorization."""
    lab.credentials.credential = Credential("user", "secret")
    with ScriptedServer() as other:
        other.on("GET", ".*").reply(page("b"))
        server.on("GET", TAGS, authorization="Basic .*").reply(
            page("a", link=f'<{other.url}/v2/team/app/tags/list>; rel="next"')
        )
        server.on("GET", TAGS).reply(Reply(401, {"WWW-Authenticate": "Basic realm=x"}))
        repository = lab.client.repository(server.host, "team/app", origin="source")
        assert list(repository.tags()) == ["a", "b"]
        assert "authorization" not in other.requests()[0].headers


def listed(*entries: Descriptor, link: str = "") -> Reply:
    value = {"schemaVersion": 2, "manifests": [entry.to_json() for entry in entries]}
    headers = {"Link": link} if link else {}
    return Reply.json(value, Content_Type=mediatype.OCI_INDEX, **headers)


FIRST = Descriptor.of(b"1", mediatype.OCI_MANIFEST)
SECOND = Descriptor.of(b"2", mediatype.OCI_MANIFEST)


def test_referrers_are_listed(server: ScriptedServer, repository: Repository) -> None:
    """All pages of the referrers API are joined, each entry once."""
    link = f'</v2/team/app/referrers/{DIGEST}?next=1>; rel="next"'
    server.on("GET", r".*next=1").reply(listed(SECOND, FIRST))
    server.on("GET", REFERRERS).reply(listed(FIRST, link=link))
    assert repository.referrers(DIGEST) == (FIRST, SECOND)
    assert repository.has_referrers_api is True


def test_a_list_under_the_wrong_media_type_is_a_list(
    server: ScriptedServer, repository: Repository
) -> None:
    """Some registries send their index as plain JSON; what it lists is not lost."""
    server.on("GET", REFERRERS).reply(Reply.json({"manifests": [FIRST.to_json()]}))
    assert repository.referrers(DIGEST) == (FIRST,)


def test_a_list_without_end_is_refused(server: ScriptedServer, repository: Repository) -> None:
    """Pages of a few entries with long annotations end at a number of bytes."""
    entry = replace(FIRST, annotations={"a": "x" * 3_900_000})
    replies = [
        listed(entry, link=f'</v2/team/app/referrers/{DIGEST}?next={n}>; rel="next"')
        for n in range(12)
    ]
    server.on("GET", REFERRERS).reply(*replies)
    with pytest.raises(RegistryProtocolError, match="more than"):
        repository.referrers(DIGEST)
    assert len(server.requests()) == 9


def test_no_referrers_are_an_empty_list(server: ScriptedServer, repository: Repository) -> None:
    """An empty index is an answer; it is not the same as a registry that cannot tell."""
    server.on("GET", REFERRERS).reply(listed())
    assert repository.referrers(DIGEST) == ()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(404, {"Content-Type": "text/plain"}, b"404 page not found"),
        Reply.error(405, "UNSUPPORTED"),
        Reply.error(400, "UNSUPPORTED"),
        Reply(501),
        Reply(200, {"Content-Type": "text/html"}, b"<html>"),
        Reply.json({}),
    ],
)
def test_a_registry_without_the_api_is_asked_once(
    server: ScriptedServer, repository: Repository, reply: Reply
) -> None:
    """A clear no is remembered for the repository."""
    server.on("GET", REFERRERS).reply(reply)
    assert repository.referrers(DIGEST) is None
    assert repository.referrers(DIGEST) is None
    assert repository.has_referrers_api is False
    assert len(server.requests()) == 1


def test_a_repository_that_is_not_there_yet_says_nothing(
    server: ScriptedServer, repository: Repository
) -> None:
    """NAME_UNKNOWN is not taken for a registry without the API."""
    server.on("GET", REFERRERS).reply(Reply.error(404, "NAME_UNKNOWN"), listed(FIRST))
    assert repository.referrers(DIGEST) is None
    assert repository.has_referrers_api is None
    assert repository.referrers(DIGEST) == (FIRST,)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(401), UnauthorizedError),
        (Reply(403), UnauthorizedError),
        (Reply(500), UnavailableError),
        (Reply(200, {"Content-Type": "application/json"}, b"<html>"), RegistryProtocolError),
        (Reply.error(400, "DIGEST_INVALID"), RegistryProtocolError),
        (
            Reply.json({"manifests": [{}]}, Content_Type=mediatype.OCI_INDEX),
            RegistryProtocolError,
        ),
    ],
)
def test_an_error_is_not_taken_for_no_referrers(
    server: ScriptedServer, repository: Repository, reply: Reply, expected: type[AirgapError]
) -> None:
    """Only a clear no counts as none: signatures must not be lost in silence."""
    server.on("GET", REFERRERS).reply(reply)
    with pytest.raises(expected):
        repository.referrers(DIGEST)
