"""Bundles that somebody brings through a page and that leave blobs to the registry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from airgap.content.arrival import Admission, Arrival, ArrivalOptions
from airgap.content.memory import MemoryDepot
from airgap.errors import MissingBaseError
from airgap.run import Run
from airgap.transfer.arrive import take_bundle
from tests.support import builders
from tests.support.differentials import pack_against, put_blob
from tests.support.remote_file import HeldFile
from tests.support.transfers import bytes_of

BASE = builders.layer(40_000, seed=1)
APP = builders.image(layers=(BASE, 2000), seed=1)


def take(path: Path, depot: MemoryDepot, may_write: Callable[[str], bool]) -> Arrival:
    """Bring a bundle."""
    admission = Admission("registry.internal:5000", may_write, lambda: None)
    return take_bundle(HeldFile(path.read_bytes()), depot, ArrivalOptions(), admission, run=Run())


@pytest.fixture(name="bundle")
def bundle_file(tmp_path: Path) -> Path:
    """A bundle that says its base lies in another team's repository."""
    return pack_against(tmp_path, {"app:1": APP}, {"secret/os": [BASE]})


def test_what_a_bundle_leaves_is_linked_where_the_bringer_may_go(bundle):
    """The blob of another repository comes into the image's without its bytes."""
    depot = MemoryDepot()
    put_blob(depot.repository("secret/os"), BASE)
    arrival = take(bundle, depot, lambda _name: True)
    assert [image.outcome for image in arrival.images] == ["pushed"]
    assert bytes_of(depot.repository("app"), BASE.descriptor) == BASE.data
    assert arrival.sent_bytes < 5000


def test_nobody_gets_what_lies_where_they_may_not_go(bundle):
    """A bundle that names a blob of a closed repository does not bring it out of there."""
    depot = MemoryDepot()
    put_blob(depot.repository("secret/os"), BASE)
    with pytest.raises(MissingBaseError):
        take(bundle, depot, lambda name: not name.startswith("secret/"))
    assert not depot.repository("app").has_blob(BASE.descriptor)
    assert list(depot.repositories()) == ["secret/os"]


def test_a_bundle_that_cannot_be_completed_writes_nothing(bundle):
    """Where the base is nowhere, nothing of the rest is kept, and the commands are named."""
    depot = MemoryDepot()
    with pytest.raises(MissingBaseError) as caught:
        take(bundle, depot, lambda _name: True)
    assert caught.value.missing == (str(BASE.descriptor.digest),)
    assert "--missing-for" in (caught.value.hint or "")
    assert list(depot.repositories()) == []
