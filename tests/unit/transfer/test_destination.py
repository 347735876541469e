"""What images are called on the other side."""

from __future__ import annotations

import pytest

from airgap.bundle.catalog import CatalogImage
from airgap.errors import ConflictError, SettingsError
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference
from airgap.transfer.destination import Destination, glob_expression, plan_targets

ONE, TWO = Digest.of(b"1"), Digest.of(b"2")


def images(*names, digest=ONE):
    return [CatalogImage(Reference.parse(name), digest) for name in names]


def names(found, to="host:5000", **options):
    where = Destination.parse(to)
    return [f"{t.repository}{t.locator}" for t in plan_targets(found, where, **options)]


@pytest.mark.parametrize(
    ("text", "registry", "prefix"),
    [
        ("registry.internal:5000/mirror", "registry.internal:5000", "mirror"),
        ("localhost", "localhost", ""),
        ("host/a/b/", "host", "a/b"),
        ("[::1]:5000/x", "[::1]:5000", "x"),
        ("index.docker.io/me", "docker.io", "me"),
    ],
)
def test_a_destination_is_a_host_and_a_prefix(text, registry, prefix):
    """`HOST[:PORT][/PREFIX]` is taken apart at the first slash."""
    assert Destination.parse(text) == Destination(registry, prefix)


@pytest.mark.parametrize("text", ["https://host/x", "", "host/UPPER", "host//x", "host:99999"])
def test_anything_else_is_refused(text):
    """What is no registry with a prefix is a mistake in the settings."""
    with pytest.raises(SettingsError):
        Destination.parse(text)


def test_the_source_host_is_dropped_and_the_path_kept():
    """The default name, with docker's library made plain."""
    assert names(images("nginx:1.27", "ghcr.io/org/app:2"), to="host/mirror") == [
        "mirror/library/nginx:1.27",
        "mirror/org/app:2",
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ghcr.io/org/app:1", "ghcr.io/org/app:1"),
        ("localhost:5000/app:1", "localhost-5000/app:1"),
        ("[::1]:5000/app:1", "1-5000/app:1"),
        ("Registry.Example.com/app:1", "registry.example.com/app:1"),
    ],
)
def test_the_source_host_may_be_kept(name, expected):
    """It becomes the first part of the path, without what a path cannot hold."""
    assert names(images(name), keep_host=True) == [expected]


def test_two_sources_under_one_name_are_refused():
    """Even with one digest: which source a name stands for would be unclear."""
    both = images("a.example.com/x:1", "b.example.com/x:1")
    with pytest.raises(ConflictError, match=r"a\.example\.com/x:1 and b\.example\.com/x:1"):
        names(both)
    assert names(both, keep_host=True) == ["a.example.com/x:1", "b.example.com/x:1"]
    assert names(both, only=["a.example.com/**"]) == ["x:1"]


def test_an_image_by_digest_is_pushed_by_digest():
    """Two sources of one digest may meet there: it is the same content."""
    both = images(f"a.example.com/x@{ONE}", f"b.example.com/x@{ONE}")
    assert names(both) == [f"x@{ONE}"] * 2


def test_an_image_by_digest_may_get_a_tag():
    """The prefix and the first twelve digits of the digest; other images keep their tags."""
    found = images(f"a.example.com/x@{ONE}", "a.example.com/x:1")
    assert names(found, tag_digests="d-") == [f"x:d-{ONE.hex[:12]}", "x:1"]


def test_a_made_up_tag_must_not_take_the_place_of_another_image():
    """A tag of the source that happens to be the made-up one is a conflict."""
    tagged = images(f"a.example.com/x:d-{ONE.hex[:12]}", digest=TWO)
    with pytest.raises(ConflictError):
        names([*tagged, *images(f"a.example.com/x@{ONE}")], tag_digests="d-")


def test_a_prefix_that_makes_no_tag_is_refused():
    """A tag cannot begin with a dot."""
    with pytest.raises(SettingsError):
        names(images(f"x@{ONE}"), tag_digests=".")


def test_a_pattern_that_matches_nothing_is_a_mistake():
    """Nothing is imported by accident, and nothing is silently left out."""
    with pytest.raises(SettingsError, match="--only"):
        names(images("nginx:1"), only=["docker.io/**", "ghcr.io/**"])


def test_a_name_that_is_too_long_is_refused():
    """A prefix can make a name longer than the 255 characters that the host counts in."""
    room = 255 - len("host//library/nginx")
    (name,) = names(images("nginx:1"), to="host/" + "x" * room)
    assert "/library/nginx" in name
    for prefix in ("x" * (room + 1), "x" * 245):
        with pytest.raises(SettingsError, match="cannot be called"):
            names(images("nginx:1"), to=f"host/{prefix}")


@pytest.mark.parametrize(
    ("pattern", "matching"),
    [
        (
            "docker.io/library/nginx",
            {"docker.io/library/nginx:1", f"docker.io/library/nginx@{ONE}"},
        ),
        ("docker.io/library/nginx:1", {"docker.io/library/nginx:1"}),
        ("docker.io/*/nginx:*", {"docker.io/library/nginx:1"}),
        ("docker.io/*", set()),
        ("docker.io/**", {"docker.io/library/nginx:1", f"docker.io/library/nginx@{ONE}"}),
        ("**/app", {"ghcr.io/app:2", "ghcr.io/a/b/app:2", "localhost:5000/app:3"}),
        ("ghcr.io/**/app", {"ghcr.io/app:2", "ghcr.io/a/b/app:2"}),
        ("ghcr.io/*/app", set()),
        ("ghcr.io/a/?/app", {"ghcr.io/a/b/app:2"}),
        ("**", None),
        ("**:2", {"ghcr.io/app:2", "ghcr.io/a/b/app:2"}),
        ("**@sha256:*", {f"docker.io/library/nginx@{ONE}"}),
        ("ghcr.io/[a]pp", set()),
        ("localhost:5000/app", {"localhost:5000/app:3"}),
        ("localhost:*/app", {"localhost:5000/app:3"}),
        ("nginx", set()),
    ],
)
def test_globs_match_full_source_names(pattern, matching):
    """`*` stays within a path part, `**` does not; one without a tag matches every tag."""
    every = {
        "docker.io/library/nginx:1",
        f"docker.io/library/nginx@{ONE}",
        "ghcr.io/app:2",
        "ghcr.io/a/b/app:2",
        "localhost:5000/app:3",
    }
    expression = glob_expression(pattern)
    found = {name for name in every if expression.fullmatch(name)}
    assert found == (every if matching is None else matching)
