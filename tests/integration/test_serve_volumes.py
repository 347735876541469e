"""The registry serves a bundle in volumes: blobs that are cut are pulled like any other."""

from __future__ import annotations

import pytest

from airgap.bundle.depot import BundleDepot
from airgap.bundle.reader import open_bundle
from airgap.oci.digest import Digest
from airgap.transfer.serving import import_names
from tests.support.bundles import make_bundle
from tests.support.embedded import EmbeddedRegistry
from tests.support.transfers import bring
from tests.support.volume_sets import split
from tests.support.wire import Wire

LIMIT = 700_000


@pytest.fixture(scope="module")
def made():
    """Volumes of which the large layer fills five, with the cuts at no even place."""
    return split(make_bundle(layer_size=3_000_001), LIMIT)


@pytest.fixture(scope="module")
def folder(made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stick")
    made.write(folder)
    return folder


@pytest.fixture(scope="module")
def wire(folder):
    depot = BundleDepot([open_bundle(folder)], import_names(), rest=0.0)
    with EmbeddedRegistry(depot=depot) as registry, Wire(registry.host) as wire:
        yield wire
    depot.close()


@pytest.fixture
def cut(made):
    """The content that lies in the most volumes, its address, and where it is cut."""
    digest = max(made.cut, key=lambda digest: len(made.holders(digest)))
    starts = [extent.start for _, extent in made.holders(digest)]
    return f"/v2/team/app/blobs/{digest}", made.made.contents[digest], starts


def test_a_cut_blob_is_pulled_whole(wire, cut):
    """Its length is said before, and its bytes are all there."""
    path, data, starts = cut
    assert len(starts) == 5
    assert wire.ask("HEAD", path, status=200).headers["Content-Length"] == str(len(data))
    assert wire.ask("GET", path, status=200).body == data


def test_any_range_of_a_cut_blob_is_pulled(wire, cut):
    """Within a piece, up to a cut, from it on, over one and over several."""
    path, data, starts = cut
    one, two, four = starts[1], starts[2], starts[4]
    for first, last in [
        (0, one - 1),
        (one, one),
        (one - 1, one),
        (one, two - 1),
        (one - 5, two + 5),
        (one + 3, four + 70_000),
        (1, len(data) - 2),
    ]:
        answer = wire.ask("GET", path, headers={"Range": f"bytes={first}-{last}"}, status=206)
        assert answer.body == data[first : last + 1]
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(data)}"
    answer = wire.ask("GET", path, headers={"Range": f"bytes=-{len(data) - one + 1}"}, status=206)
    assert answer.body == data[one - 1 :]
    answer = wire.ask("GET", path, headers={"Range": f"bytes={len(data)}-"}, status=416)
    assert answer.headers["Content-Range"] == f"bytes */{len(data)}"


def test_several_ranges_of_a_cut_blob_are_pulled_together(wire, cut):
    """Each from other volumes."""
    path, data, starts = cut
    ranges = f"bytes={starts[1] - 4}-{starts[1] + 3},{starts[3] - 6}-{starts[3] + 1}"
    answer = wire.ask("GET", path, headers={"Range": ranges}, status=206)
    assert data[starts[1] - 4 : starts[1] + 4] in answer.body
    assert data[starts[3] - 6 : starts[3] + 2] in answer.body


def test_served_volumes_are_what_an_import_makes_of_them(wire, folder, made):
    """Names, manifests and blobs are those of a registry they are imported into."""
    with EmbeddedRegistry() as inside, Wire(inside.host) as other:
        bring(folder, inside.host)
        names = wire.ask("GET", "/v2/_catalog", status=200).json["repositories"]
        assert names == other.ask("GET", "/v2/_catalog", status=200).json["repositories"]
        asked = 0
        for name in names:
            tags = wire.ask("GET", f"/v2/{name}/tags/list").json["tags"] or []
            paths = [f"manifests/{reference}" for reference in [*tags, *made.made.documents]]
            paths += [f"blobs/{digest}" for digest in [*made.made.contents, Digest.of(b"none")]]
            for path in paths:
                ours = wire.ask("GET", f"/v2/{name}/{path}")
                theirs = other.ask("GET", f"/v2/{name}/{path}")
                assert (ours.status, ours.body) == (theirs.status, theirs.body), path
                asked += ours.status == 200
        assert asked > 20
