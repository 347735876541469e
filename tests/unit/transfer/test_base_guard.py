"""Where the base guard looks, and the commands that it proposes."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from airgap.bundle.catalog import Catalog
from airgap.bundle.held import HeldBlob
from airgap.record.bases import Base
from airgap.transfer.base_guard import Elsewhere, missing_error, need_commands
from airgap.transfer.destination import Destination, plan_targets
from tests.support import builders
from tests.support.bundles import BundleBuilder
from tests.support.receipts import digest_of

TO = Destination("inside:5000", "mirror")


def catalog_with(base: Base) -> Catalog:
    """A catalog that builds on something."""
    made = BundleBuilder()
    made.add(builders.image(), "example.com/app:1")
    return replace(made.build().catalog, bases=(base,))


def held(repository: str, name: str = "layer") -> HeldBlob:
    return HeldBlob(digest_of(name), 10, 0, repository)


@pytest.mark.parametrize(
    ("kind", "repository", "options", "places"),
    [
        ("inventory", "team/os", {}, ("team/os",)),
        ("receipt", "team/os", {"mount_from": ("a", "team/os", "b")}, ("team/os", "a", "b")),
        ("bundle", "example.com/os", {}, ("mirror/os",)),
        ("lock", "example.com/os", {"keep_host": True}, ("mirror/example.com/os",)),
        ("bundle", "example.com/" + "x" * 250, {"mount_from": ("a",)}, ("a",)),
        ("inventory", "team/os", {"may_read": lambda name: name == "b", "mount_from": ("b",)},
         ("b",)),
    ],
)  # fmt: skip
def test_names_become_what_they_are_on_the_destination(kind, repository, options, places):
    """Sources' names are mapped as for an import, others taken as they are, each once."""
    elsewhere = Elsewhere(to=TO, **options)
    catalog = catalog_with(Base(kind, digest_of("base")))
    assert elsewhere.places(catalog, held(repository)) == places


def test_the_command_can_be_pasted_into_a_shell():
    """File names are quoted, and everything that matters for the look-up is in the command."""
    hint = need_commands(
        ["--missing-for", "my $update.tar"], TO, keep_host=True, mount_from=["team/os"]
    )
    assert shlex.split(hint.split("`")[1]) == [
        "airgap", "export", "inventory", "--from", "inside:5000/mirror",
        "--missing-for", "my $update.tar", "--keep-host", "--mount-from", "team/os",
        "-o", "need.inventory",
    ]  # fmt: skip


def test_the_error_counts_each_blob_once_and_lists_by_image():
    """One line for each image; a blob that two images lack counts once in the message."""
    made = BundleBuilder()
    made.add(builders.image(seed=1), "example.com/app:1")
    made.add(builders.image(seed=2), "example.com/web:1")
    app, web = plan_targets(made.build().catalog.images, TO)
    many = [held("team/os", str(number)) for number in range(5)]
    error = missing_error([(app, many), (web, many[:1])], registry="inside:5000", hint="do it")
    assert "5 blobs (50 B) of 2 images" in error.message
    assert len(error.missing) == 5
    assert [line.partition(":1 lacks ")[0] for line in error.failed] == [
        "example.com/app",
        "example.com/web",
    ]
    assert error.failed[0].endswith("and 2 more")
    assert error.hint == "do it"
