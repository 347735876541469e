"""`airgap compare` between every kind of place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airgap.bundle.reader import open_bundle
from airgap.oci import mediatype
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference
from airgap.record.lock import Lock, LockedImage
from airgap.record.receipt import ReceiptImage
from tests.support import builders
from tests.support.command_line import airgap, assert_refused
from tests.support.inventories import make_inventory
from tests.support.receipts import make_receipt
from tests.support.transfers import export

OLD, NEW = builders.image(layers=(30_000,), seed=1), builders.image(layers=(40_000,), seed=2)
SAME, GONE = builders.multi_platform(), builders.chart()


def carried(*contents: builders.Content) -> int:
    """The bytes of all that some images consist of."""
    parts = {part.digest: part.descriptor.size for c in contents for part in c.walk()}
    blobs = {d: blob.descriptor.size for c in contents for d, blob in c.all_blobs().items()}
    return sum((parts | blobs).values())


@pytest.fixture
def releases(outside, tmp_path) -> tuple[Path, Path]:
    """Bundles of two releases: an image changed, one is gone, and one stayed."""
    paths = []
    for number, images in enumerate(({"app": OLD, "gone": GONE, "same": SAME}, {"app": NEW})):
        for name, content in images.items():
            builders.push(outside.repository(f"team/{name}"), content, tag="1")
        names = ["app", "gone", "same"] if number == 0 else ["app", "same"]
        paths.append(tmp_path / f"release-{number}.tar")
        export([f"{outside.host}/team/{name}:1" for name in names], paths[-1])
    return paths[0], paths[1]


@pytest.fixture
def first(releases) -> Path:
    return releases[0]


def compared(*arguments: object) -> dict[str, Any]:
    done = airgap("compare", *arguments, "--json")
    assert done.code == 0, done.out
    return done.lines[-1]


def names(images: list[dict[str, Any]]) -> list[str]:
    return [image["name"].partition("/")[2] for image in images]


def test_two_bundles_are_compared(releases, outside) -> None:
    """Images by their source names, and how many bytes the second one brings."""
    found = compared(*releases)
    assert (names(found["added"]), names(found["removed"])) == ([], ["team/gone:1"])
    [changed] = found["changed"]
    assert changed == {
        "name": f"{outside.host}/team/app:1",
        "before": str(OLD.digest),
        "after": str(NEW.digest),
    }
    assert (found["same"], found["equal"]) == (1, False)
    assert found["only_a"]["size"] == carried(OLD, GONE)
    assert found["only_b"]["size"] == carried(NEW)
    assert found["common"]["size"] == carried(SAME)
    assert found["a"] == {"name": str(releases[0]), "kind": "bundle", "images": 3, "left_blobs": 0}


def test_a_comparison_is_told_in_words(releases) -> None:
    """Lines for each image that differs, and sums."""
    done = airgap("compare", *releases)
    assert (done.code, done.err) == (0, "")
    assert f"team/app:1  {OLD.digest} -> {NEW.digest}" in done.out
    assert "images: 0 added, 1 removed, 1 changed, 1 the same" in done.out
    assert "only in A" in done.out
    assert done.out.splitlines()[-1] == "different"


def test_a_script_can_ask_for_an_exit_code(releases) -> None:
    """With --exit-code a difference is 3, and without it 0: it is no failure."""
    assert airgap("compare", *releases).code == 0
    done = airgap("compare", *releases, "--exit-code")
    assert done.code == 3
    assert "error[different]" in done.err
    assert airgap("compare", releases[0], releases[0], "--exit-code").code == 0


def test_a_registry_is_compared_with_what_was_imported(first, inside) -> None:
    """Below the path that was named, by the names that the import gave."""
    place = f"{inside.host}/mirror"
    assert airgap("import", "bundle", first, "--to", place).code == 0
    builders.push(inside.repository("else"), NEW, tag="1")
    found = compared(first, place)
    assert (found["equal"], found["same"], found["b"]["kind"]) == (True, 3, "registry")
    everything = compared(first, inside.host, "--prefix", "mirror")
    assert [image["name"] for image in everything["added"]] == ["else:1"]
    assert everything["only_b"]["size"] == carried(NEW)
    nothing = compared(f"{inside.host}/nothing", first)
    assert (nothing["a"]["images"], nothing["only_a"]["blobs"]) == (0, 0)


def test_a_registry_is_asked_for_no_manifest_twice(first, inside) -> None:
    """What an earlier comparison or inventory read is kept; tags are asked for again."""
    assert airgap("import", "bundle", first, "--to", inside.host).code == 0
    fetched = []
    for _ in range(2):
        inside.clear()
        assert compared(first, inside.host)["equal"]
        fetched.append(inside.count("GET", "/manifests/"))
    assert fetched[0] > 0
    assert fetched[1] == 0


def test_an_inventory_is_compared_with_a_bundle(releases, tmp_path) -> None:
    """What the receiver holds tells which images a bundle would change there."""
    with open_bundle(releases[0]) as reader:
        sizes = reader.catalog.sizes()
    inventory = tmp_path / "inside.inventory"
    images = [("m/team/app:1", OLD.digest), ("m/team/same:1", SAME.digest)]
    held = [(d, size, f"m/team/{name}") for name in ("app", "same") for d, size in sizes.items()]
    inventory.write_bytes(make_inventory(held, images).raw)
    found = compared(inventory, releases[1], "--prefix", "m")
    assert [image["name"] for image in found["changed"]] == ["m/team/app:1"]
    assert (found["same"], found["added"], found["removed"]) == (1, [], [])
    assert found["only_b"]["size"] == carried(NEW)
    assert found["a"]["kind"] == "inventory"


def test_a_receipt_is_compared_by_the_names_that_the_other_side_knows(
    first, inside, tmp_path
) -> None:
    """It knows the source's names and those at the registry."""
    receipt = tmp_path / "r.receipt"
    to = f"{inside.host}/deep/in"
    assert airgap("import", "bundle", first, "--to", to, "--receipt", receipt).code == 0
    assert compared(receipt, first)["equal"]
    found = compared(receipt, to)
    assert (found["equal"], found["same"], found["a"]["kind"]) == (True, 3, "receipt")


def test_a_list_is_looked_up_at_its_registries(first, outside, tmp_path) -> None:
    """With one request each, for what the names stand for now; content is not known."""
    listed = tmp_path / "images.txt"
    lines = [f"{outside.host}/team/{name}:1" for name in ("app", "same", "gone")]
    listed.write_text("# release\n" + "\n".join(lines) + "\n")
    outside.clear()
    found = compared(first, listed)
    assert [image["after"] for image in found["changed"]] == [str(NEW.digest)]
    assert (found["same"], found["only_a"], found["b"]["kind"]) == (2, None, "list")
    assert [seen.method for seen in outside.matching("", "/manifests/")] == ["HEAD"] * 3


def test_a_lock_file_is_compared_with_a_bundle(first, outside, tmp_path) -> None:
    """It says what names stood for, and nothing of blobs."""
    lock = tmp_path / "images.lock"
    lines = [f"{outside.host}/team/{name}:1" for name in ("same", "gone")]
    assert airgap("lock", *lines, "-o", lock).code == 0
    found = compared(lock, first)
    assert (names(found["added"]), found["same"]) == (["team/app:1"], 2)
    assert (found["a"]["kind"], found["common"]) == ("lock", None)


def test_a_catalog_stands_for_its_bundle(first, tmp_path) -> None:
    """The catalog alone, without any blob, is enough to compare."""
    with open_bundle(first) as reader:
        (tmp_path / "catalog.json").write_bytes(reader.catalog.raw)
    assert compared(tmp_path / "catalog.json", first)["equal"]


def test_an_image_by_digest_is_found_in_a_registry(outside, inside, tmp_path) -> None:
    """A registry names it nowhere, and has it."""
    builders.push(outside.repository("team/app"), OLD, tag="1")
    path = tmp_path / "pinned.tar"
    export(f"{outside.host}/team/app@{OLD.digest}", path)
    assert airgap("import", "bundle", path, "--to", inside.host).code == 0
    builders.push(inside.repository("team/app"), NEW, tag="1")
    found = compared(path, inside.host)
    assert (found["same"], found["removed"]) == (1, [])
    assert [image["name"] for image in found["added"]] == ["team/app:1"]


def test_a_list_gives_a_name_to_one_image_only(first, outside, tmp_path) -> None:
    """As in an export: with a digest of its own the second line is another image."""
    name = f"{outside.host}/team/app:1"
    listed = tmp_path / "images.txt"
    listed.write_text(f"{name}\n{name}@{SAME.digest}\n")
    builders.push(outside.repository("team/app"), SAME)
    done = airgap("compare", listed, first)
    assert_refused(done, 40, "conflict", str(NEW.digest), str(SAME.digest))
    listed.write_text(f"{name}\n{name}@{NEW.digest}\n")
    assert compared(listed, first)["a"]["images"] == 1


def test_what_a_list_names_must_be_there(outside, first, tmp_path) -> None:
    """A name that stands for nothing is an error, not a difference."""
    listed = tmp_path / "images.txt"
    listed.write_text(f"{outside.host}/team/nothing:1\n")
    done = airgap("compare", listed, first)
    assert_refused(done, 10, "content-not-found", "team/nothing:1")


@pytest.mark.parametrize("content", [b"{}", b"\0" * 2000, b"<html>"])
def test_a_file_of_another_kind_is_refused(first, tmp_path, content: bytes) -> None:
    """What says nothing of images is told by name."""
    other = tmp_path / "other"
    other.write_bytes(content)
    done = airgap("compare", first, other)
    assert done.code == 22
    assert str(other) in done.err


def test_a_file_that_is_not_there_is_told(first) -> None:
    """A path is never taken for a registry."""
    done = airgap("compare", first, "./no.inventory")
    assert_refused(done, 10, "content-not-found", "no.inventory")


def test_a_name_that_is_neither_a_file_nor_a_registry_is_told_so(first) -> None:
    """Somebody who mistypes a file's name is not sent to look for a registry."""
    done = airgap("compare", first, "releas.tar", "--retries", "0")
    assert_refused(done, 12, "unavailable", "there is no file of this name either")


def test_hostile_names_are_refused_as_elsewhere(first, tmp_path) -> None:
    """A list is read as every list is: its line is named."""
    listed = tmp_path / "images.txt"
    listed.write_text("good/image:1\n\u202eevil image\n")
    done = airgap("compare", first, listed)
    assert done.code == 2
    assert "line 2" in done.err


def locked(path: Path, *images: tuple[str, Digest]) -> Path:
    """A lock file that says just what names stand for."""
    made = [LockedImage(Reference.parse(n), d, mediatype.OCI_MANIFEST, 1) for n, d in images]
    path.write_bytes(Lock.build(made).to_bytes())
    return path


def test_a_tag_that_an_import_left_alone_did_not_arrive(tmp_path) -> None:
    """A receipt names what such a tag stands for; that is no image of the import."""
    app, web = Digest.of(b"app"), Digest.of(b"web")
    receipt = make_receipt(
        outcome="complete",
        images=(
            ReceiptImage("docker.io/library/app:1", app, "library/app", "1", "pushed", app),
            ReceiptImage("docker.io/library/web:1", web, "library/web", "1", "skipped", app),
        ),
        failed=(),
        tags=(),
    )
    path = tmp_path / "in.receipt"
    path.write_bytes(receipt.raw)
    lock = locked(tmp_path / "app.lock", ("docker.io/library/app:1", app))
    found = compared(path, lock)
    assert (found["added"], found["removed"], found["changed"]) == ([], [], [])
    assert found["same"] == 1


def test_an_image_without_a_tag_is_there_where_its_own_repository_holds_it(tmp_path) -> None:
    """That another repository has the same manifest does not count."""
    app = Digest.of(b"app")
    lock = locked(tmp_path / "app.lock", (f"example.com/app@{app}", app))
    path = tmp_path / "inside.inventory"
    for repository, same in (("app", 1), ("other", 0)):
        path.write_bytes(make_inventory([(app, 1, repository)]).raw)
        found = compared(path, lock)
        assert found["same"] == same
        assert len(found["added"]) == 1 - same
