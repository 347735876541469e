"""Media to write to, each for one test, and the registries and image that transfers start from."""

from __future__ import annotations

from functools import partial

import pytest

from tests.support import builders
from tests.support.embedded import EmbeddedRegistry
from tests.support.media import loop_file_system, lying_medium
from tests.support.transfers import export


@pytest.fixture
def loop(tmp_path):
    """Makes file systems on loop devices: `with loop("ext4", size) as medium`."""
    return partial(loop_file_system, tmp_path)


@pytest.fixture
def stick(loop):
    """A small stick with ext4."""
    with loop("ext4") as medium:
        yield medium


@pytest.fixture
def forged(tmp_path):
    """Makes sticks that lie about their size: `with forged(real=..., claimed=...) as folder`."""
    return partial(lying_medium, tmp_path)


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


@pytest.fixture
def image(outside):
    """An image of 6 MB in six layers that is tagged outside."""
    made = builders.image(layers=(1_000_000,) * 6)
    return builders.push(outside.repository("app"), made, tag="1")


@pytest.fixture
def name(outside, image):
    """Its name."""
    return f"{outside.host}/app:1"


@pytest.fixture
def clean(name, tmp_path):
    """The bytes of an undisturbed export."""
    path = tmp_path / "clean.tar"
    export(name, path)
    return path.read_bytes()
