"""Bundles that are read where they lie and put into a depot."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airgap.content.arrival import Admission, Arrival, ArrivalOptions
from airgap.content.depot import Depot
from airgap.content.folder import FolderDepot
from airgap.content.memory import MemoryDepot
from airgap.errors import (
    AirgapError,
    BundleFormatError,
    ConflictError,
    DigestMismatchError,
    IncompleteBundleError,
    SignatureError,
    StorageFullError,
    UnauthorizedError,
    UnavailableError,
)
from airgap.run import CancelToken, Run
from airgap.transfer.arrive import take_bundle
from airgap.trust.keys import PrivateKey
from airgap.trust.policy import Trust, TrustedKey, TrustPolicy
from tests.support import builders
from tests.support.bundles import BundleBuilder, MadeBundle, flip, make_bundle
from tests.support.remote_file import HeldFile
from tests.support.signing import signed_by


def anywhere(_repository: str) -> bool:
    return True


def take(
    file: HeldFile,
    depot: Depot,
    *,
    may_write: Callable[[str], bool] = anywhere,
    free: int | None = None,
    run: Run | None = None,
    trust: Trust | None = None,
    **options: Any,
) -> Arrival:
    admission = Admission("registry.internal:5000", may_write, lambda: free)
    asked = ArrivalOptions(**options)
    return take_bundle(file, depot, asked, admission, run=run or Run(), trust=trust)


def is_empty(depot: Depot) -> bool:
    return list(depot.repositories()) == []


def named(arrival: Arrival) -> dict[str, str]:
    return {f"{i.repository}:{i.tag}": i.outcome for i in arrival.images}


@pytest.fixture(name="made", scope="module")
def made_bundle() -> MadeBundle:
    return make_bundle(layer_size=5000)


def test_everything_arrives(made: MadeBundle):
    """After an arrival every image, tag and referrer of the bundle is in the depot."""
    depot = MemoryDepot()
    arrival = take(HeldFile(made.data), depot)
    assert arrival.bundle == made.catalog.id
    assert arrival.name == "release.tar"
    assert set(named(arrival).values()) == {"pushed"}
    app = depot.repository("team/app")
    assert app.resolve("1.4") == app.resolve("latest") is not None
    for image in made.catalog.images:
        repository = depot.repository(image.reference.repository)
        assert repository.read_manifest(str(image.digest)) is not None
    for referrer in made.catalog.referrers:
        assert app.resolve(str(referrer.digest)) is not None
    for digest, size in made.catalog.blobs:
        holders = [n for n in depot.repositories() if depot.repository(n).find_blob(digest)]
        assert holders, digest
        assert all(depot.repository(n).find_blob(digest).size == size for n in holders)


def test_names_follow_the_options(made: MadeBundle):
    """A prefix and the source's host become parts of the repositories' names."""
    depot = MemoryDepot()
    take(HeldFile(made.data), depot, prefix="mirror", keep_host=True)
    assert all(name.startswith("mirror/example.com/") for name in depot.repositories())


def test_what_is_there_is_not_asked_for_again(made: MadeBundle):
    """A second arrival reads the front and the seal and no blob."""
    depot = MemoryDepot()
    take(HeldFile(made.data), depot)
    again = HeldFile(made.data)
    arrival = take(again, depot)
    assert set(named(arrival).values()) == {"present"}
    assert arrival.sent_bytes == 0
    front, tail = len(made.layout.front), made.layout.placement.seal
    assert all(offset < front or offset >= tail for offset, _ in again.asked)


def test_an_arrival_goes_on_within_a_blob(tmp_path: Path):
    """What came of a blob before the file went away is not asked for a second time."""
    bundle = BundleBuilder()
    bundle.add(builders.image(layers=(2_000_000,)), "example.com/big:1")
    made = bundle.build()
    depot = FolderDepot(tmp_path / "data", durable=False)
    try:
        first = HeldFile(made.data, breaks_at=1_800_000, piece=65536)
        with pytest.raises(UnavailableError):
            take(first, depot)
        assert depot.repository("big").resolve("1") is None
        second = HeldFile(made.data)
        take(second, depot)
        assert depot.repository("big").resolve("1") is not None
        blobs = [ask for ask in second.asked if ask[0] >= len(made.layout.front)]
        assert sum(size for _, size in blobs) < 1_000_000
    finally:
        depot.close()


def test_a_shared_blob_is_asked_for_once():
    """A layer that several repositories want crosses once and is linked to all."""
    bundle = BundleBuilder()
    layer = builders.layer(9000)
    for number in range(3):
        bundle.add(builders.image(layers=(layer,), seed=number), f"example.com/app{number}:1")
    made = bundle.build()
    file = HeldFile(made.data)
    depot = MemoryDepot()
    arrival = take(file, depot)
    digest = layer.descriptor.digest
    assert all(depot.repository(f"app{n}").find_blob(digest) for n in range(3))
    extent = made.layout.placement.extents
    place = next(found.offset for found in extent if found.digest == digest)
    assert len([ask for ask in file.asked if ask[0] == place]) == 1
    assert arrival.sent_bytes < 2 * 9000


def test_no_right_to_one_target_means_no_write_at_all(made: MadeBundle):
    """A bundle with one repository that its bringer may not push to changes nothing."""
    depot = MemoryDepot()
    file = HeldFile(made.data)
    with pytest.raises(UnauthorizedError, match="charts/demo"):
        take(file, depot, may_write=lambda name: name != "charts/demo")
    assert is_empty(depot)
    front, tail = len(made.layout.front), made.layout.placement.seal
    assert all(offset < front or offset >= tail for offset, _ in file.asked)


def test_no_room_means_no_write_at_all(made: MadeBundle):
    """A bundle for which there is no room is refused before the first blob."""
    depot = MemoryDepot()
    with pytest.raises(StorageFullError, match="1000 are free"):
        take(HeldFile(made.data), depot, free=1000)
    assert is_empty(depot)


def test_room_is_asked_for_what_is_missing_only(made: MadeBundle):
    """A bundle that is here already needs no room but that of its manifests."""
    depot = MemoryDepot()
    take(HeldFile(made.data), depot)
    manifests = sum(manifest.size for manifest in made.catalog.manifests)
    assert named(take(HeldFile(made.data), depot, free=manifests))


def test_a_tag_of_another_digest_stops_everything(made: MadeBundle):
    """By default a tag that would move refuses the bundle before the first write."""
    depot = MemoryDepot()
    other = builders.push(depot.repository("tool"), builders.image(seed=50), tag="2")
    with pytest.raises(ConflictError):
        take(HeldFile(made.data), depot)
    assert list(depot.repositories()) == ["tool"]
    assert depot.repository("tool").resolve("2").digest == other.digest


@pytest.mark.parametrize(("choice", "outcome"), [("skip", "skipped"), ("overwrite", "pushed")])
def test_a_tag_stays_or_moves_as_was_asked(made: MadeBundle, choice: str, outcome: str):
    """The choice for existing tags does what it does to imports."""
    depot = MemoryDepot()
    other = builders.push(depot.repository("tool"), builders.image(seed=50), tag="2")
    arrival = take(HeldFile(made.data), depot, on_existing_tag=choice)
    assert named(arrival)["tool:2"] == outcome
    assert (depot.repository("tool").resolve("2").digest == other.digest) == (choice == "skip")


def test_a_bundle_that_is_cut_short_writes_nothing(made: MadeBundle):
    """A file that ends before its seal is refused by its size, before any blob is read."""
    depot = MemoryDepot()
    with pytest.raises(IncompleteBundleError):
        take(HeldFile(made.data[:-1024]), depot)
    assert is_empty(depot)


def test_a_bundle_with_more_behind_it_writes_nothing(made: MadeBundle):
    """A file that goes on behind its seal is refused."""
    depot = MemoryDepot()
    with pytest.raises(BundleFormatError):
        take(HeldFile(made.data + b"\0" * 512), depot)
    assert is_empty(depot)


def test_a_bundle_without_its_seal_writes_nothing(made: MadeBundle):
    """A file whose seal was never written is refused."""
    depot = MemoryDepot()
    seal = made.layout.placement.seal
    with pytest.raises(IncompleteBundleError):
        take(HeldFile(made.data[:seal] + b"\0" * (len(made.data) - seal)), depot)
    assert is_empty(depot)


def test_wrong_bytes_set_no_tag(made: MadeBundle):
    """A flipped bit in a layer fails the arrival, and no tag is set."""
    depot = MemoryDepot()
    last = made.layout.blobs[-1]
    with pytest.raises(DigestMismatchError):
        take(HeldFile(flip(made.data, last.offset)), depot)
    assert all(list(depot.repository(name).tags()) == [] for name in depot.repositories())


@pytest.mark.parametrize("data", [b"", b"hello", b"\0" * 4096, b"\x1f\x8b" + b"x" * 600])
def test_what_is_no_bundle_is_refused(data: bytes):
    """Any other file is refused with an error that says so."""
    depot = MemoryDepot()
    with pytest.raises(AirgapError) as caught:
        take(HeldFile(data), depot)
    assert caught.value.hint
    assert is_empty(depot)


def test_a_bundle_that_is_not_signed_as_demanded_writes_nothing(made: MadeBundle):
    """Neither without signatures nor with those of a stranger; one that is signed arrives."""
    key = PrivateKey.generate("ed25519")
    policy = TrustPolicy("the settings", (TrustedKey("release", key.public),))
    trust = Trust((policy,), now=datetime(2026, 1, 1, tzinfo=UTC))
    depot = MemoryDepot()
    for data in (made.data, signed_by(made, PrivateKey.generate("ed25519")).data):
        with pytest.raises(SignatureError):
            take(HeldFile(data), depot, trust=trust)
        assert is_empty(depot)
    assert take(HeldFile(signed_by(made, key).data), depot, trust=trust).images


def test_a_cancelled_arrival_sets_no_tag(made: MadeBundle):
    """A run that is cancelled ends the arrival between chunks."""
    token = CancelToken()
    token.cancel()
    depot = MemoryDepot()
    with pytest.raises(AirgapError, match="interrupted"):
        take(HeldFile(made.data), depot, run=Run(cancel=token))
    assert is_empty(depot)
