"""The registry client lists repositories, and tells a closed list from an empty one."""

from __future__ import annotations

import pytest

from airgap.errors import (
    AirgapError,
    ContentNotFoundError,
    RegistryProtocolError,
    UnauthorizedError,
)
from tests.support import builders
from tests.support.embedded import EmbeddedRegistry
from tests.support.registry_client import Lab
from tests.support.scripted_server import Reply, ScriptedServer

CATALOG = r"/v2/_catalog.*"


def page(*names: str, link: str = "") -> Reply:
    headers = {"Link": link} if link else {}
    return Reply.json({"repositories": list(names)}, **headers)


def test_repositories_come_page_by_page(server: ScriptedServer, lab: Lab) -> None:
    """Links are followed, one request a page."""
    server.on("GET", r".*\?n=1000").reply(page("a", "b", link='</v2/_catalog?last=b>; rel="next"'))
    server.on("GET", r".*last=b").reply(page("c/d"))
    assert list(lab.client.repositories(server.host)) == ["a", "b", "c/d"]
    assert len(server.requests()) == 2


def test_a_full_page_without_a_link_is_not_taken_for_the_end(
    server: ScriptedServer, lab: Lab
) -> None:
    """A registry that cuts its list without a Link is asked for what comes behind."""
    first = [f"r/{number:04}" for number in range(1000)]
    server.on("GET", r".*last=r%2F0999").reply(page("u"))
    server.on("GET", CATALOG).reply(page(*first))
    assert list(lab.client.repositories(server.host)) == [*first, "u"]


def test_a_registry_that_refuses_the_size_of_pages_gives_pages_of_its_own(
    server: ScriptedServer, lab: Lab
) -> None:
    """The CNCF registry refuses numbers above the one it is configured with."""
    server.on("GET", r"/v2/_catalog\?n=1000").reply(Reply.error(400, "PAGINATION_NUMBER_INVALID"))
    server.on("GET", r"/v2/_catalog").reply(page("a"))
    assert list(lab.client.repositories(server.host)) == ["a"]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply.error(401, "UNAUTHORIZED"), UnauthorizedError),
        (Reply.error(403, "DENIED"), UnauthorizedError),
        (Reply.error(404, "NOT_FOUND"), ContentNotFoundError),
        (Reply.error(405, "UNSUPPORTED"), ContentNotFoundError),
        (Reply.error(501, "UNSUPPORTED"), ContentNotFoundError),
    ],
)
def test_a_closed_list_is_an_error_that_says_what_to_name(
    server: ScriptedServer, lab: Lab, reply: Reply, kind: type[AirgapError]
) -> None:
    """It is never taken for a registry that holds nothing."""
    server.on("GET", CATALOG).reply(reply)
    with pytest.raises(kind) as caught:
        list(lab.client.repositories(server.host))
    assert "--repository NAME" in str(caught.value.hint)


@pytest.mark.parametrize(
    "reply",
    [
        page("a", link='</v2/_catalog?n=1000>; rel="next"'),
        Reply(200, {"Content-Type": "text/html"}, b"<!doctype html>"),
        Reply(404, {"Content-Type": "text/html"}, b"<!doctype html>"),
        page("../etc"),
        page("UPPER"),
        Reply.json({"repositories": "a"}),
        Reply.json(["a"]),
        Reply(200, {"Content-Type": "application/json"}, b" " * (5 << 20)),
    ],
)
def test_lists_that_make_no_sense_are_refused(
    server: ScriptedServer, lab: Lab, reply: Reply
) -> None:
    """Circles, HTML, what is no repository, and endless pages break the protocol."""
    server.on("GET", CATALOG).reply(reply)
    with pytest.raises((RegistryProtocolError, ContentNotFoundError)) as caught:
        list(lab.client.repositories(server.host))
    assert caught.value.origin == "source"


def test_pages_that_repeat_are_refused(server: ScriptedServer, lab: Lab) -> None:
    """A server that gives the same pages under ever new links does not hold us for ever."""
    answers = iter(range(50))

    def reply(_: object) -> Reply:
        number = next(answers)
        link = f'</v2/_catalog?x={number}>; rel="next"'
        return page("a" if number % 2 else "b", link=link)

    server.on("GET", CATALOG).reply(reply)
    with pytest.raises(RegistryProtocolError, match="again and again"):
        list(lab.client.repositories(server.host))
    assert len(server.requests()) == 3


def test_the_embedded_registry_lists_all_repositories(lab: Lab) -> None:
    """With more of them than one page holds."""
    names = [f"team/app-{number:04}" for number in range(1203)]
    image = builders.image()
    with EmbeddedRegistry() as registry:
        for name in names:
            builders.push(registry.repository(name), image, tag="1")
        assert list(lab.client.repositories(registry.host)) == names
        assert registry.count("GET", "/v2/_catalog") == 2
