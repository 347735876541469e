"""References as Docker users write them."""

from __future__ import annotations

import pytest

from airgap.errors import ExitCode, InvalidContentError, InvalidReferenceError
from airgap.oci.digest import Digest
from airgap.oci.reference import (
    Reference,
    is_registry,
    is_repository,
    is_tag,
    registry_component,
    without_credentials,
)

HEX = "0123456789abcdef" * 4
PIN = Digest("sha256", HEX)


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag", "digest"),
    [
        ("nginx", "docker.io", "library/nginx", "latest", None),
        ("nginx:1.27", "docker.io", "library/nginx", "1.27", None),
        ("docker.io/nginx", "docker.io", "library/nginx", "latest", None),
        ("docker.io/library/nginx", "docker.io", "library/nginx", "latest", None),
        ("index.docker.io/nginx", "docker.io", "library/nginx", "latest", None),
        ("registry-1.docker.io/a/b", "docker.io", "a/b", "latest", None),
        ("bitnami/redis:7", "docker.io", "bitnami/redis", "7", None),
        ("localhost", "docker.io", "library/localhost", "latest", None),
        ("ghcr.io", "docker.io", "library/ghcr.io", "latest", None),
        ("localhost/x", "localhost", "x", "latest", None),
        ("localhost:5000/x", "localhost:5000", "x", "latest", None),
        ("localhost:5000", "docker.io", "library/localhost", "5000", None),
        ("127.0.0.1:5000/x/y:z", "127.0.0.1:5000", "x/y", "z", None),
        ("[::1]:5000/x", "[::1]:5000", "x", "latest", None),
        ("[2001:db8::1]/x:1", "[2001:db8::1]", "x", "1", None),
        ("ghcr.io/org/app:tag", "ghcr.io", "org/app", "tag", None),
        ("host:443/a/b/c/d:T_1.2-x", "host:443", "a/b/c/d", "T_1.2-x", None),
        ("MyHost/app", "MyHost", "app", "latest", None),
        ("registry.example.com/a__b/c-d.e", "registry.example.com", "a__b/c-d.e", "latest", None),
        (f"name@sha256:{HEX}", "docker.io", "library/name", None, PIN),
        (f"name:tag@sha256:{HEX}", "docker.io", "library/name", "tag", PIN),
        (f"localhost:5000/x@sha256:{HEX}", "localhost:5000", "x", None, PIN),
        (f"a.b/c@sha512:{HEX * 2}", "a.b", "c", None, Digest("sha512", HEX * 2)),
        ("quay.io/x:_ok", "quay.io", "x", "_ok", None),
        ("quay.io/x:" + "t" * 128, "quay.io", "x", "t" * 128, None),
    ],
)
def test_references_are_read_as_docker_reads_them(text, registry, repository, tag, digest):
    """Defaults for the registry, library/ and latest apply where docker applies them."""
    assert Reference.parse(text) == Reference(registry, repository, tag, digest)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "/",
        ":",
        "@",
        ":tag",
        "/nginx",
        "nginx/",
        "a//b",
        "Nginx",
        "library/Nginx",
        "ghcr.io/Org/app",
        "ghcr.io/",
        "nginx:",
        "nginx:-x",
        "nginx:.x",
        "nginx:a b",
        "nginx:" + "t" * 129,
        "nginx:tag:tag",
        "nginx\n",
        "nginx\u00a0",
        "ng\u0131nx",
        "a/../b",
        "../etc/passwd",
        "a/./b",
        "-a",
        "a-",
        "a..b",
        "a___b",
        "_a",
        "http://ghcr.io/x",
        "https://docker.io/library/nginx",
        "user:pass@host.example/x",
        "host:port/x",
        "host:/x",
        "host:0/x",
        "host:65536/x",
        "host:123456/x",
        "-host.example/x",
        "::1/x",
        "[::1/x",
        "[]/x",
        "[:::::]:5000/x",
        "[::1]x/y",
        "[::1%eth0]/y",
        "name@",
        "name@sha256:abc",
        f"name@sha256:{HEX.upper()}",
        f"name@md5:{HEX[:32]}",
        f"name@sha256:{HEX}@sha256:{HEX}",
        f"@sha256:{HEX}",
        HEX,
        f"sha256:{HEX}",
        "a.b/" + "c" * 252,
        "a.b/" + "/".join(["c"] * 200),
    ],
)
def test_what_is_no_reference_is_refused_with_a_hint(text: str):
    """Nonsense is refused with one line, a hint, and the exit code for usage."""
    with pytest.raises(InvalidReferenceError) as caught:
        Reference.parse(text)
    assert caught.value.hint
    assert "\n" not in caught.value.message
    assert caught.value.exit_code is ExitCode.USAGE


def test_a_huge_reference_is_not_repeated_whole_in_the_message():
    """The message about a line of a megabyte stays short."""
    for text in ("x" * 1_000_000, "x:" + "y" * 1_000_000, "x@" + "y" * 1_000_000):
        with pytest.raises(InvalidReferenceError) as caught:
            Reference.parse(text)
        assert len(caught.value.message) < 500


def test_the_longest_name_is_allowed():
    """Registry and repository together may have 255 characters and no more."""
    assert Reference.parse("a.b/" + "c" * 251).repository == "c" * 251


@pytest.mark.parametrize(
    ("text", "locator", "tagged"),
    [
        ("nginx", "latest", "docker.io/library/nginx:latest"),
        (f"a.b/c@sha256:{HEX}", f"sha256:{HEX}", f"a.b/c@sha256:{HEX}"),
        (f"a.b/c:1@sha256:{HEX}", f"sha256:{HEX}", "a.b/c:1"),
    ],
)
def test_the_digest_locates_and_the_tag_names(text: str, locator: str, tagged: str):
    """Where both are given the digest says what is fetched, and the tag what it is called."""
    reference = Reference.parse(text)
    assert (reference.locator, reference.tagged) == (locator, tagged)


def test_pinning_keeps_the_name():
    """A pinned reference has the name and tag of before, and unpinning gives the first back."""
    reference = Reference.parse("a.b/c:1")
    pinned = reference.with_digest(PIN)
    assert str(pinned) == f"a.b/c:1@sha256:{HEX}"
    assert pinned.with_digest(None) == reference
    assert pinned.name == "a.b/c"


def test_references_with_and_without_tags_can_be_sorted():
    """Sorting is total: a missing tag or digest comes first and never fails."""
    texts = [f"a.b/c:1@sha256:{HEX}", "a.b/c:1", f"a.b/c@sha256:{HEX}", "a.a/z:9", "a.b/b:2"]
    ordered = [str(reference) for reference in sorted(map(Reference.parse, texts))]
    assert ordered == ["a.a/z:9", "a.b/b:2", f"a.b/c@sha256:{HEX}", "a.b/c:1", texts[0]]
    assert max(map(Reference.parse, texts)) >= Reference.parse("a.b/c:1")


def test_a_reference_does_not_compare_with_text():
    """Comparing a reference with something else is a mistake in the program."""
    with pytest.raises(TypeError):
        assert Reference.parse("nginx") < "nginx"


@pytest.mark.parametrize(
    ("text", "repository", "tag", "registry"),
    [
        ("app", True, True, True),
        ("a/b", True, False, False),
        ("v1.2.3", True, True, True),
        ("V1", False, True, True),
        ("_x", False, True, False),
        ("host:5000", False, False, True),
        ("[::1]", False, False, True),
        ("host.", False, True, False),
        ("a" * 256, False, False, False),
        ("", False, False, False),
        ("app\n", False, False, False),
    ],
)
def test_names_tags_and_hosts_are_told_apart(text, repository, tag, registry):
    """Each check accepts exactly the grammar of its kind."""
    assert (is_repository(text), is_tag(text), is_registry(text)) == (repository, tag, registry)


@pytest.mark.parametrize(
    "text",
    [
        "https://me:secret@host/x:1",
        "me:secret@host/x",
        "me:s@cr@t-secret@host/x@y",
        f"me:secret@host/x@{PIN}",
    ],
)
def test_a_password_in_a_name_is_not_said_again(text: str) -> None:
    """What is refused is shown without what stands before the host."""
    with pytest.raises(InvalidReferenceError) as caught:
        Reference.parse(text)
    assert "secret" not in f"{caught.value.message} {caught.value.hint}"
    assert "host/x" in without_credentials("me:secret@host/x")


def test_a_digest_is_no_password() -> None:
    """A name with a wrong tag is shown with its digest."""
    text = f"host/x:{'t' * 129}@sha256:12"
    assert without_credentials(text) == text


@pytest.mark.parametrize(
    ("host", "component"),
    [
        ("docker.io", "docker.io"),
        ("Registry.Internal:5000", "registry.internal-5000"),
        ("[::1]:5000", "1-5000"),
        ("[::]", ""),
    ],
)
def test_a_registry_can_be_a_part_of_a_name(host, component):
    """What no repository's name may have becomes a hyphen, and what is left is one or nothing."""
    assert registry_component(host) == component
    assert not component or is_repository(component)


@pytest.mark.parametrize("name", ["docker.io/library/app:1", f"ghcr.io/org/app@{PIN}"])
def test_the_full_name_of_an_image_is_read_as_it_stands(name: str) -> None:
    """With a tag, or with the digest that it stands for."""
    assert Reference.parse_full(name, PIN).tagged == name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("app:1", "not the full name"),
        (f"docker.io/library/app:1@{PIN}", "not the full name"),
        (f"ghcr.io/org/app@sha256:{'0' * 64}", "the digest of its name"),
        (None, "must have a name"),
        (["docker.io/library/app:1"], "must have a name"),
    ],
)
def test_no_other_form_is_the_full_name_of_an_image(name: object, said: str) -> None:
    """Documents write an image's name in one way, and never that of another digest."""
    with pytest.raises(InvalidContentError, match=said):
        Reference.parse_full(name, PIN)
