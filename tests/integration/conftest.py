"""What tests of whole transfers start from: registries, an image in one, and its bundle."""

from __future__ import annotations

import functools

import pytest

from tests.support import builders
from tests.support.accounts import open_office
from tests.support.embedded import EmbeddedRegistry
from tests.support.signing import A, write_public
from tests.support.transfers import export, pack_into
from tests.support.wire import Wire


@pytest.fixture
def outside():
    """A registry on the side that is connected."""
    with EmbeddedRegistry() as registry:
        yield registry


@pytest.fixture
def inside():
    """A registry on the other side."""
    with EmbeddedRegistry() as registry:
        yield registry


@pytest.fixture(params=["memory", "folder"])
def registry(request, tmp_path):
    """A registry that keeps what it has in memory, and one that does in a folder."""
    folder = tmp_path / "data" if request.param == "folder" else None
    with EmbeddedRegistry(folder=folder) as registry:
        yield registry


@pytest.fixture
def store(registry):
    """What it has of one repository."""
    return registry.repository("team/app")


@pytest.fixture
def wire(registry):
    """A connection to that registry, or to what a module calls so."""
    with Wire(registry.host) as found:
        yield found


@pytest.fixture
def office(tmp_path):
    """One who may do all, and two who have a folder each."""
    people = {"root": ["admins"], "bob": ["payments"], "amy": ["sales"]}
    with open_office(tmp_path / "users", people) as found:
        yield found


@pytest.fixture
def pack(tmp_path):
    """Makes bundles of contents by name, from a registry that is gone afterwards."""
    return functools.partial(pack_into, tmp_path)


@pytest.fixture
def release(tmp_path):
    """The public key that is trusted."""
    [path] = write_public(tmp_path, release=A)
    return path


@pytest.fixture
def image(outside):
    """An image that is tagged outside."""
    return builders.push(outside.repository("app"), builders.image(layers=(400_000,)), tag="1")


@pytest.fixture
def layer(image):
    """Its layer."""
    return image.blobs[1]


@pytest.fixture
def name(outside, image):
    """Its name."""
    return f"{outside.host}/app:1"


@pytest.fixture
def clean(outside, name, tmp_path):
    """The bundle of an undisturbed export; the requests for it are forgotten."""
    (tmp_path / "clean").mkdir()
    path = tmp_path / "clean" / "b.tar"
    export(name, path)
    outside.clear()
    return path.read_bytes()
