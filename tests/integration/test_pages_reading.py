"""The registry's pages, read without JavaScript: what they show, to whom, and how fenced in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from airgap.content.arrival import Arrival, ArrivedImage
from airgap.content.memory import MemoryDepot
from airgap.oci import mediatype
from airgap.oci.digest import Digest
from tests.support import builders
from tests.support.pages import Browser, PageServer, alice_and_bob, serve_pages, tags_of

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}\u202e"


@pytest.fixture(name="server")
def open_server() -> Iterator[PageServer]:
    with serve_pages() as server:
        yield server


@pytest.fixture(name="browser")
def open_browser(server: PageServer) -> Iterator[Browser]:
    with server.browser() as browser:
        yield browser


@pytest.fixture(name="private")
def open_private() -> Iterator[PageServer]:
    """A registry with something public, something of Alice's and something of Bob's."""
    depot = MemoryDepot()
    for name in ("public/app", "secret/app", "other/app"):
        builders.push(depot.repository(name), builders.image(seed=len(name)), tag="1.0")
    with serve_pages(depot=depot, guard=alice_and_bob()) as server:
        yield server


def push_rich_image(server: PageServer) -> builders.Content:
    """An index with attestations, an SBOM of its first image, and a cosign signature."""
    repository = server.depot.repository("team/app")
    multi = builders.push(repository, builders.multi_platform(), tag="1.4")
    builders.push(repository, builders.sbom(multi.children[0].descriptor, name="parts"))
    tag, signature = builders.cosign_signature(multi.descriptor)
    builders.push(repository, signature, tag=tag)
    return multi


def test_an_empty_registry_says_what_to_do(browser: Browser):
    """The first page of a new registry tells how something gets in."""
    seen = browser.get("/").visible
    assert "Nothing has been pushed yet" in seen
    assert f"docker push {browser.url.partition('//')[2]}/name:tag" in seen


def test_repositories_and_tags_are_listed(server: PageServer, browser: Browser):
    """The first page leads to repositories, and a repository's page to its tags."""
    multi = push_rich_image(server)
    assert 'href="/r/team/app"' in browser.get("/").text
    page = browser.get("/r/team/app")
    assert page.status == 200
    assert 'href="/r/team/app:1.4"' in page.text
    seen = page.visible
    assert "linux/amd64 linux/arm64/v8" in seen
    assert multi.digest.short in seen
    assert ".sig" not in seen
    assert ".sig" in browser.get("/r/team/app?all=1").visible


def test_an_index_shows_its_platforms_and_referrers(server: PageServer, browser: Browser):
    """The page of an index has its digest, platforms, sizes and what refers to any of it."""
    multi = push_rich_image(server)
    page = browser.get("/r/team/app:1.4")
    seen = page.visible
    for expected in (str(multi.digest), "linux/amd64", "linux/arm64/v8", "attestation"):
        assert expected in seen
    assert "sbom parts.spdx.json" in seen
    assert "signature" in seen
    for part in multi.children:
        assert f'href="/r/team/app@{part.digest}"' in page.text


def test_an_image_shows_how_it_came_to_be(server: PageServer, browser: Browser):
    """The page of an image has its layers with sizes and history, its config and annotations."""
    layers = [builders.layer(5000), builders.layer(7000, 1)]
    image = builders.image(layers=layers, annotations={"org.example.team": "payments"})
    builders.push(server.depot.repository("team/app"), image, tag="1")
    seen = browser.get("/r/team/app:1").visible
    for layer in layers:
        assert layer.descriptor.digest.short in seen
    for expected in ("layer 0", "layer 1", "/data", "org.example.team payments", "linux/amd64"):
        assert expected in seen
    assert browser.get(f"/r/team/app@{image.digest}").status == 200


def test_the_history_shows_steps_that_add_nothing(server: PageServer, browser: Browser):
    """Steps without a layer stand between those with one."""
    layer = builders.layer(100)
    config = {
        "os": "linux",
        "architecture": "amd64",
        "rootfs": {"type": "layers", "diff_ids": [str(layer.diff_id)]},
        "history": [
            {"created_by": "/bin/sh -c #(nop) ADD file"},
            {"created_by": "/bin/sh -c #(nop)  CMD [run]", "empty_layer": True},
        ],
    }
    blob = builders.blob(json.dumps(config).encode(), mediatype.OCI_CONFIG)
    content = builders.manifest(blob, [layer])
    builders.push(server.depot.repository("app"), content, tag="1")
    seen = browser.get("/r/app:1").visible
    assert "ADD file" in seen
    assert "CMD [run] adds nothing" in seen


def test_commands_name_this_registry(server: PageServer, browser: Browser):
    """The commands on a page pull exactly what it shows, from here."""
    push_rich_image(server)
    builders.push(server.depot.repository("charts/demo"), builders.chart(), tag="1.2.3")
    seen = browser.get("/r/team/app:1.4").visible
    for tool in ("docker pull", "podman pull --tls-verify=false", "ctr images pull --plain-http"):
        assert f"{tool} {server.host}/team/app:1.4" in seen
    chart = browser.get("/r/charts/demo:1.2.3").visible
    assert f"helm pull oci://{server.host}/charts/demo --version 1.2.3" in chart


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("app", ["/r/public/app", "/r/team/app"]),
        ("TEAM", ["/r/team/app"]),
        ("team pp", ["/r/team/app"]),
        ("team 1.4", ["/r/team/app:1.4"]),
        ("app:1.4", ["/r/team/app:1.4"]),
        ("nothing-of-that-name", []),
    ],
)
def test_search_finds_repositories_and_tags(
    server: PageServer, browser: Browser, query: str, found: list[str]
):
    """All words of a search stand in what it finds."""
    push_rich_image(server)
    builders.push(server.depot.repository("public/app"), builders.image(), tag="9")
    page = browser.get(f"/?q={query.replace(' ', '+')}")
    links = [attrs["href"] for tag, attrs in tags_of(page.text) if tag == "a"]
    assert [link for link in links if link.startswith("/r/")] == found


def test_search_finds_a_digest(server: PageServer, browser: Browser):
    """A digest leads to every repository that has it."""
    multi = push_rich_image(server)
    child = multi.children[0].digest
    assert f'href="/r/team/app@{child}"' in browser.get(f"/?q={child}").text


def test_long_lists_have_pages(server: PageServer, browser: Browser):
    """Every repository and tag is on exactly one page, in order."""
    names = [f"app{number:03}" for number in range(120)]
    image = builders.image()
    for name in names:
        builders.push(server.depot.repository(name), image, tag="1")
    for number in range(120):
        server.depot.repository("app000").put_manifest(image.document, tag=f"t{number:03}")
    for path, expected in (
        ("/", [f"/r/{name}" for name in names]),
        ("/r/app000", ["/r/app000:1"] + [f"/r/app000:t{number:03}" for number in range(120)]),
    ):
        found: list[str] = []
        following: str | None = path
        while following:
            tags = tags_of(browser.get(following).text)
            links = [attrs for tag, attrs in tags if tag == "a"]
            found += [a["href"] for a in links if re.fullmatch(r"/r/[^@?]*", a["href"] or "")]
            nexts = [a["href"] for a in links if a.get("rel") == "next"]
            following = nexts[0] if nexts else None
        assert [link for link in found if link != path] == expected


@pytest.mark.parametrize("path", ["/r/secret/app", "/r/secret/app:1.0", "/r/nothing/here"])
def test_what_one_may_not_pull_is_not_there(private: PageServer, path: str):
    """A private repository looks to others exactly like one that does not exist."""
    with private.browser() as browser:
        page = browser.get(path)
        assert page.status == 404
        without_path = page.text.replace(path, "PATH").replace(path.replace("/", "%2F"), "PATH")
        other = browser.get("/r/never/heard")
        expected = other.text.replace("/r/never/heard", "PATH")
        clean = re.compile(r'value="[0-9a-f]{64}"|next=[^"]*')
        assert clean.sub("", without_path) == clean.sub("", expected)


def test_lists_and_search_show_what_one_may_pull_and_no_more(private: PageServer):
    """Names, tags and digests of private repositories are on no page for others."""
    secret = private.depot.repository("secret/app").resolve("1.0")
    assert secret is not None
    paths = ["/", "/?q=app", "/?q=1.0", f"/?q={secret.digest}", "/?q=secret", "/bundles"]
    with private.browser() as browser:
        for path in paths:
            page = browser.get(path)
            assert page.status == 200
            links = [attrs.get("href") or "" for tag, attrs in tags_of(page.text) if tag == "a"]
            assert not [link for link in links if "/r/secret" in link or "/r/other" in link], path
        browser.sign_in("alice", "wonder land")
        for path in paths[:-1]:
            text = browser.get(path).text
            assert "/r/secret/app" in text, path
            assert "/r/other/app" not in text


def arrival(repository: str, digest: Digest, name: str = "release.tar") -> Arrival:
    image = ArrivedImage(f"example.com/{repository}:1.0", repository, "1.0", digest, "pushed")
    when = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
    return Arrival(Digest.of(name.encode()), name, (image,), when, "carol", 5_000_000)


def test_an_image_says_with_which_bundle_it_came(private: PageServer):
    """The bundle, its time and who brought it stand with the image, and on a page of bundles."""
    for name in ("public/app", "secret/app"):
        found = private.depot.repository(name).resolve("1.0")
        assert found is not None
        private.ledger.note_arrival(arrival(name, found.digest, f"{name.partition('/')[0]}.tar"))
    with private.browser() as browser:
        assert (
            "Came with public.tar, 2026-03-04 05:06 UTC" in browser.get("/r/public/app:1.0").visible
        )
        seen = browser.get("/bundles").visible
        assert "public.tar came 2026-03-04 05:06 UTC, brought by carol 5.0 MB were new" in seen
        assert "secret" not in seen
        browser.sign_in("alice", "wonder land")
        assert "secret.tar" in browser.get("/bundles").visible


def test_hostile_text_stays_text(server: PageServer, browser: Browser):
    """Annotations, labels, history, types and searches of others never become markup."""
    config = {
        "os": "linux",
        "architecture": "amd64",
        "author": HOSTILE,
        "created": HOSTILE,
        "config": {"Env": [HOSTILE], "Cmd": [HOSTILE], "Labels": {HOSTILE: HOSTILE}},
        "history": [{"created_by": HOSTILE, "created": HOSTILE}],
        "rootfs": {"type": "layers", "diff_ids": []},
    }
    blob = builders.blob(json.dumps(config).encode(), mediatype.OCI_CONFIG)
    content = builders.manifest(
        blob, [builders.layer(10)], annotations={"org.opencontainers.image.title": HOSTILE}
    )
    repository = server.depot.repository("team/app")
    builders.push(repository, content, tag="1")
    # a media type may hold what would be markup
    hostile_type = "application/x'\"><script>alert(3)</script>"
    builders.push(
        repository,
        builders.manifest(
            builders.blob(b"{}", hostile_type),
            [],
            artifact_type=hostile_type,
            subject=content.descriptor,
            annotations={"org.opencontainers.image.title": HOSTILE},
        ),
    )
    private = Digest.of(b"hostile")
    image = ArrivedImage(HOSTILE, "team/app", "1", content.digest, HOSTILE)
    server.ledger.note_arrival(
        Arrival(private, HOSTILE, (image,), datetime.now(UTC), HOSTILE, 1, (HOSTILE,))
    )
    query = "%22%3E%3Cscript%3Ealert(1)%3C/script%3E"
    for path in ("/", "/r/team/app", "/r/team/app:1", "/bundles", f"/?q={query}", f"/r/{query}"):
        page = browser.get(path)
        tags = tags_of(page.text)
        scripts = [attrs for tag, attrs in tags if tag == "script"]
        assert len(scripts) == 1, path
        assert not [tag for tag, _ in tags if tag == "img"]
        assert not [name for _, attrs in tags for name in attrs if name.startswith("on")]
        assert "49" not in re.findall(r"\b49\b", page.visible)
        assert "\u202e" not in page.text


@pytest.mark.parametrize(
    "path",
    ["/", "/?q=x", "/r/team/app", "/r/nothing", "/bundles", "/upload", "/-/static/page.js",
     "/-/static/nothing", "/sign-in"],
)  # fmt: skip
def test_every_answer_is_fenced_in(server: PageServer, browser: Browser, path: str):
    """No page may run or load what is not ours, be framed, sniffed, or tell where one came from."""
    push_rich_image(server)
    headers = browser.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


def test_pages_are_not_kept_and_static_files_are(browser: Browser):
    """A page is asked for each time, a style sheet once for each content."""
    page = browser.get("/")
    assert page.headers["Cache-Control"] == "no-store"
    sheet = re.search(r'href="(/-/static/page\.css\?v=[0-9a-f]+)"', page.text)
    assert sheet
    answer = browser.get(sheet[1])
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["Content-Type"] == "text/css; charset=utf-8"
    again = browser.request("GET", sheet[1], headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status == 304
    assert "immutable" not in browser.get("/-/static/page.css?v=000").headers["Cache-Control"]


def test_the_registry_is_still_there(server: PageServer, browser: Browser):
    """The pages take nothing from the registry's API, whose fence is its own."""
    push_rich_image(server)
    answer = browser.get("/v2/team/app/manifests/1.4")
    assert answer.status == 200
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert browser.request("HEAD", "/").status == 200


def test_a_page_can_be_read_by_its_landmarks(server: PageServer, browser: Browser):
    """Every page has a language, a title, one heading, landmarks, and a name for each field."""
    push_rich_image(server)
    for path in ("/", "/r/team/app", "/r/team/app:1.4", "/bundles", "/upload", "/r/none"):
        tags = tags_of(browser.get(path).text)
        names = [tag for tag, _ in tags]
        assert names.count("h1") == 1, path
        for landmark in ("header", "main", "nav", "footer", "title"):
            assert landmark in names, path
        assert dict(tags)["html"]["lang"] == "en"
        ids = [attrs["id"] for _, attrs in tags if "id" in attrs]
        assert len(ids) == len(set(ids)), path
        labelled = {attrs.get("for") for tag, attrs in tags if tag == "label"}
        for tag, attrs in tags:
            if tag in ("input", "select") and attrs.get("type") != "hidden":
                assert attrs["id"] in labelled, (path, attrs)
            if "aria-labelledby" in attrs:
                assert attrs["aria-labelledby"] in ids
