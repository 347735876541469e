"""What differs between two places, as pure values."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.errors import ConflictError, SettingsError
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference
from airgap.oci.referrers import cosign_tags, fallback_tag
from airgap.transfer.comparison import (
    Amount,
    Comparison,
    Naming,
    Side,
    ascending,
    compare,
    compare_sizes,
)

ONE, TWO, THREE = (Digest.of(text) for text in (b"1", b"2", b"3"))


def source(**images: Digest) -> Side:
    """A bundle of images of one registry: `app_1` is app:1."""
    names = {
        Reference.parse(f"outside:5000/team/{name.replace('_', ':')}"): digest
        for name, digest in images.items()
    }
    return Side("a bundle", "bundle", source_names=names)


def receiver(*names: tuple[str, Digest], prefix: str = "") -> Side:
    return Side("a registry", "registry", receiver_names=dict(names), prefix=prefix)


def names_of(found: Comparison) -> tuple[list[str], list[str], list[str]]:
    kinds = (found.added, found.removed, found.changed)
    added, removed, changed = ([image.name for image in images] for images in kinds)
    return added, removed, changed


def test_images_are_added_removed_and_changed() -> None:
    """Each name is told once, with the digests of both sides where it stands for two."""
    found = compare(source(a_1=ONE, b_1=ONE, c_1=THREE), source(b_1=TWO, c_1=THREE, d_1=ONE))
    assert names_of(found) == (
        ["outside:5000/team/d:1"],
        ["outside:5000/team/a:1"],
        ["outside:5000/team/b:1"],
    )
    assert (found.changed[0].before, found.changed[0].after) == (ONE, TWO)
    assert found.same == 1
    assert not found.is_equal


def test_a_place_is_equal_to_itself() -> None:
    """No image differs, and no content."""
    side = Side("x", "bundle", {Reference.parse("a:1"): ONE}, sizes=ascending({ONE: 5}))
    found = compare(side, side)
    assert found.is_equal
    assert (found.same, found.common) == (1, Amount(1, 5))


def test_a_registry_is_compared_by_the_names_that_an_import_makes() -> None:
    """The path counts, and not the host; a prefix is the one that is known or given."""
    bundle = source(app_1=ONE)
    assert compare(bundle, receiver(("team/app:1", ONE))).is_equal
    assert compare(bundle, receiver(("mirror/team/app:1", ONE), prefix="mirror")).is_equal
    given_prefix = Naming(prefix="mirror")
    assert compare(receiver(("mirror/team/app:1", ONE)), bundle, given_prefix).is_equal
    kept = receiver(("outside-5000/team/app:1", ONE))
    assert compare(bundle, kept, Naming(keep_host=True)).is_equal
    assert names_of(compare(bundle, kept)) == (["outside-5000/team/app:1"], ["team/app:1"], [])


def test_a_prefix_that_is_given_wins() -> None:
    """Also an empty one: the repositories then lie where the source has them."""
    side = receiver(("team/app:1", ONE), prefix="mirror")
    assert not compare(source(app_1=ONE), side).is_equal
    assert compare(source(app_1=ONE), side, Naming(prefix="")).is_equal


def test_a_receipt_knows_names_of_both_kinds() -> None:
    """Beside a bundle its source names count, beside a registry those of the registry."""
    receipt = Side(
        "r",
        "receipt",
        source_names={Reference.parse("outside:5000/team/app:1"): ONE},
        receiver_names={"deep/in/app:1": ONE},
    )
    assert compare(receipt, source(app_1=ONE)).is_equal
    assert compare(receipt, receiver(("deep/in/app:1", ONE))).is_equal


def test_two_sources_that_get_one_name_are_a_conflict() -> None:
    """With the same image they are one; with others nobody knows which is meant."""
    hosts = [Reference.parse(f"{host}:5000/app:1") for host in "ab"]
    clash = Side("x", "bundle", source_names=dict(zip(hosts, (ONE, TWO), strict=True)))
    with pytest.raises(ConflictError, match="both be called app:1") as caught:
        compare(clash, receiver())
    assert "--keep-host" in (caught.value.hint or "")
    assert len(compare(clash, receiver(), Naming(keep_host=True)).removed) == 2
    same = Side("x", "bundle", source_names=dict.fromkeys(hosts, ONE))
    assert compare(same, receiver(("app:1", ONE))).is_equal


def test_a_prefix_that_is_no_path_is_refused() -> None:
    """The error says which name is not possible."""
    with pytest.raises(SettingsError, match="cannot be called"):
        compare(source(app_1=ONE), receiver(), Naming(prefix="NO"))


def test_an_image_without_a_tag_is_found_by_its_digest() -> None:
    """A registry lists tags only; whether it has the manifest is asked of what it holds."""
    pinned = Reference.parse(f"outside:5000/app@{ONE}")
    bundle = Side("x", "bundle", source_names={pinned: ONE})
    held = Side("y", "registry", receiver_names={}, holds=lambda name, d: (name, d) == ("app", ONE))
    assert compare(bundle, held).is_equal
    assert compare(held, bundle).is_equal
    assert names_of(compare(bundle, receiver()))[1] == [f"app@{ONE}"]


def test_tags_that_carry_what_refers_to_an_image_are_no_images() -> None:
    """A registry lists them like any tag; a bundle knows them for what they are."""
    names = [f"team/app:{tag}" for tag in (*cosign_tags(ONE), fallback_tag(ONE))]
    registry = receiver(("team/app:1", ONE), *((name, TWO) for name in names))
    assert registry.image_count == 1
    assert compare(source(app_1=ONE), registry).is_equal


def test_content_is_compared_only_where_both_sides_tell() -> None:
    """A lock file says nothing of blobs, so nothing is said of what is missing."""
    known = Side("x", "bundle", {}, sizes=ascending({ONE: 1}))
    unknown = Side("y", "lock", {})
    for found in (compare(known, unknown), compare(unknown, known)):
        assert (found.only_a, found.only_b, found.common) == (None, None, None)
        assert found.is_equal


def test_the_same_images_with_other_content_are_not_equal() -> None:
    """A bundle that leaves blobs to its receiver is not the one that carries them."""
    whole = Side("x", "bundle", {}, sizes=ascending({ONE: 1, TWO: 20}))
    part = Side("y", "bundle", {}, sizes=ascending({ONE: 1}))
    found = compare(whole, part)
    assert (found.only_a, found.only_b, found.common) == (Amount(1, 20), Amount(), Amount(1, 1))
    assert not found.is_equal


DIGESTS = st.sampled_from(
    [Digest.of(bytes([n]), a) for n in range(8) for a in ("sha256", "sha512")]
)
CONTENT = st.dictionaries(DIGESTS, st.integers(0, 1000))


@given(CONTENT, CONTENT)
def test_content_is_compared_as_sets_would_be(a: dict[Digest, int], b: dict[Digest, int]) -> None:
    """Reading both in step gives what holding both in memory would."""
    only_a, only_b, common = compare_sizes(ascending(a)(), ascending(b)())
    assert only_a == Amount(len(a.keys() - b.keys()), sum(a[d] for d in a.keys() - b.keys()))
    assert only_b == Amount(len(b.keys() - a.keys()), sum(b[d] for d in b.keys() - a.keys()))
    assert common == Amount(len(a.keys() & b.keys()), sum(a[d] for d in a.keys() & b.keys()))


def test_content_is_not_held_in_memory() -> None:
    """Both sides are read one step at a time."""
    ahead = 0

    def counted(step: int) -> Iterator[tuple[Digest, int]]:
        nonlocal ahead
        for number in itertools.count():
            ahead += step
            assert abs(ahead) <= 2
            if number == 1000:
                return
            yield Digest("sha256", f"{number:064x}"), 1

    assert compare_sizes(counted(1), counted(-1))[2] == Amount(1000, 1000)
