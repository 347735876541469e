"""A bundle that leaves blobs to its receiver is served beside those that hold them, or not."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from airgap.bundle.depot import BundleDepot
from airgap.bundle.reader import open_bundle
from airgap.errors import (
    ConflictError,
    ContentNotFoundError,
    DigestMismatchError,
    IncompleteBundleError,
)
from airgap.oci.digest import Digest
from airgap.record.bases import Base
from airgap.transfer.serving import import_names
from tests.support import builders
from tests.support.bundles import BundleBuilder, MadeBundle, differential, flip
from tests.support.volume_sets import split

LAYER = builders.layer(5000, seed=7)
SHARED = LAYER.descriptor.digest


def base() -> MadeBundle:
    """A bundle that holds the layer, in the repository `old`."""
    bundle = BundleBuilder()
    bundle.add(builders.image(layers=(LAYER,), seed=1), "example.com/old:1")
    return bundle.build()


def update(*, count: int = 1, left: Digest = SHARED) -> MadeBundle:
    """Images in repositories of their own that need the layer and leave it to the receiver."""
    bundle = BundleBuilder()
    for number in range(count):
        bundle.add(builders.image(layers=(LAYER,), seed=10 + number), f"example.com/new{number}:1")
    return differential(bundle.build(), [left])


@pytest.fixture
def serve(tmp_path):
    """Writes bundles, each into a folder, and opens them as a depot."""
    opened = []

    def serve(*made: MadeBundle, volumes: bool = False) -> BundleDepot:
        readers = []
        for number, bundle in enumerate(made):
            folder = tmp_path / str(number)
            folder.mkdir()
            if volumes and not bundle.catalog.held:
                split(bundle, 1500).write(folder)
            else:
                bundle.write(folder)
            readers.append(open_bundle(folder))
            opened.append(readers[-1])
        return BundleDepot(readers, import_names(), rest=0.0)

    yield serve
    for reader in opened:
        reader.close()


def test_alone_it_is_refused_with_what_lacks_and_what_to_do(serve) -> None:
    """How much, which images, and both ways out: exit 23."""
    with pytest.raises(IncompleteBundleError) as caught:
        serve(update())
    error = caught.value
    assert error.exit_code == 23
    assert "leaves 1 blob (5.2 kB) to its receiver" in error.message
    assert "needed by example.com/new0:1" in error.message
    assert "beside the bundles that hold them" in str(error.hint)
    assert "import it" in str(error.hint)
    assert error.missing == (str(SHARED),)


def test_of_many_images_some_are_named_and_the_rest_counted(serve) -> None:
    """The message stays one line."""
    with pytest.raises(IncompleteBundleError, match="new2:1 and 2 more images"):
        serve(update(count=5))


@pytest.mark.parametrize("volumes", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_beside_the_base_both_are_served(serve, volumes: bool, turned: bool) -> None:
    """The blob comes out of the other bundle, whichever repository it has there."""
    made = [base(), update()]
    depot = serve(*(reversed(made) if turned else made), volumes=volumes)
    assert list(depot.repositories()) == ["new0", "old"]
    new = depot.repository("new0")
    found = new.find_blob(SHARED)
    assert found is not None
    assert found.size == LAYER.descriptor.size
    with new.open(found) as chunks:
        assert b"".join(chunks) == LAYER.data
    assert set(depot.holders(SHARED)) == {"new0", "old"}


def test_a_differential_may_build_on_a_differential(serve) -> None:
    """What one leaves another may bring, though that one leaves something, too."""
    bundle = BundleBuilder()
    image = bundle.add(builders.image(layers=(LAYER,), seed=1), "example.com/old:1")
    config = image.blobs[0].descriptor.digest
    first = differential(bundle.build(), [config])
    bundle = BundleBuilder()
    bundle.add(builders.image(layers=(LAYER,), seed=1), "example.com/other:1")
    second = differential(bundle.build(), [SHARED])
    depot = serve(first, second)
    for name in ("old", "other"):
        assert depot.repository(name).find_blob(config) is not None
        assert depot.repository(name).find_blob(SHARED) is not None


def test_a_base_that_lacks_the_blob_as_well_is_no_help(serve) -> None:
    """Two bundles that leave the same blob to each other are refused."""
    bundle = BundleBuilder()
    bundle.add(builders.image(layers=(LAYER,), seed=1), "example.com/old:1")
    with pytest.raises(IncompleteBundleError):
        serve(differential(bundle.build(), [SHARED]), update())


def test_a_base_that_has_the_blob_with_another_size_is_no_help(serve) -> None:
    """Other bytes under its digest are not it, whatever manifest says so."""
    wrong = builders.Blob(replace(LAYER.descriptor, size=5), b"other")
    bundle = BundleBuilder()
    lying = builders.manifest(builders.blob(b"{}"), [wrong], artifact_type="text/plain")
    bundle.add(lying, "example.com/old:1")
    with pytest.raises(IncompleteBundleError, match="leaves 1 blob"):
        serve(bundle.build(), update())


def test_what_is_damaged_in_the_base_is_not_given_out(serve, tmp_path: Path) -> None:
    """As for a blob of the bundle itself."""
    made = base()
    extent = next(e for e in made.layout.blobs if e.digest == SHARED)
    folders = [tmp_path / "base", tmp_path / "update"]
    for folder in folders:
        folder.mkdir()
    made.write(folders[0], flip(made.data, extent.offset))
    update().write(folders[1])
    readers = [open_bundle(folder) for folder in folders]
    depot = BundleDepot(readers, import_names(), rest=0.0)
    depot.start_checking()
    depot.finish_checking()
    with pytest.raises(DigestMismatchError):
        depot.repository("new0").find_blob(SHARED)
    depot.close()


def versions(count: int) -> list[MadeBundle]:
    """Bundles of one image of which each builds on the one before and moves its tag."""
    made: list[MadeBundle] = []
    for number in range(count):
        bundle = BundleBuilder()
        bundle.add(builders.image(layers=(LAYER,), seed=20 + number), "example.com/app:latest")
        whole = bundle.build()
        if made:
            on = Base("bundle", made[-1].catalog.id)
            whole = differential(whole, [SHARED], base=on, repository="example.com/app")
        made.append(whole)
    return made


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_a_bundle_may_move_the_tags_of_those_that_it_builds_on(serve, order) -> None:
    """The last one of a chain says what a tag names, in whichever order they are given."""
    made = versions(3)
    app = serve(*(made[number] for number in order)).repository("app")
    last = made[-1].catalog.images[0].digest
    assert app.resolve("latest").digest == last
    assert list(app.tags()) == ["latest"]
    for bundle in made:
        assert app.resolve(str(bundle.catalog.images[0].digest)) is not None


def test_a_tag_that_nothing_puts_in_order_is_refused(serve) -> None:
    """Two bundles that build on the same one do not know of each other."""
    first, second, _ = versions(3)
    bundle = BundleBuilder()
    bundle.add(builders.image(layers=(LAYER,), seed=40), "example.com/app:latest")
    on = Base("bundle", first.catalog.id)
    rival = differential(bundle.build(), [SHARED], base=on, repository="example.com/app")
    with pytest.raises(ConflictError, match="would both be app:latest"):
        serve(first, second, rival)


def test_a_repository_gives_only_what_its_images_need(serve) -> None:
    """A held blob of one repository is not reachable through another that has no use for it."""
    bundle = BundleBuilder()
    bundle.add(builders.image(layers=(900,), seed=30), "example.com/else:1")
    depot = serve(base(), update(), bundle.build())
    assert depot.repository("else").find_blob(SHARED) is None
    with pytest.raises(ContentNotFoundError):
        depot.repository("else").open(LAYER.descriptor)
