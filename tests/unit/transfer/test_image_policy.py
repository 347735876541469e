"""Which images count as signed, whatever their signatures come from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airgap.errors import CancelledError, UnavailableError, UnsignedImagesError
from airgap.oci.platform import Platform
from airgap.run import CancelToken, Run
from airgap.run.events import ItemFinished, PhaseFinished, PhaseStarted
from airgap.transfer.image_policy import Candidate, RequiredKey, check_images
from airgap.transfer.resolve import MAX_DEPTH
from tests.support import builders, cosign
from tests.support.transfers import Recorder

KEY, OTHER = cosign.key(), cosign.key("ed25519")
REQUIRED = RequiredKey("cosign.pub", KEY.public)
ALSO = RequiredKey("other.pub", OTHER.public)


class Shelf:
    """Signatures in memory; counts what is asked."""

    def __init__(self):
        self.referrers = {}
        self.blobs = {}
        self.asked = []

    def sign(self, content, key=KEY, form="referrer"):
        """Add a signature."""
        made = (
            cosign.referrer_signature(content, key)
            if form == "referrer"
            else cosign.tag_signature(content, key)[1]
        )
        self.add(content, made)

    def add(self, content, made):
        """Add what refers to a content."""
        self.referrers.setdefault(content.digest, []).append(made.document)
        self.blobs |= {blob.descriptor.digest: blob.data for blob in made.blobs}

    def signatures(self, repository, digest, /):
        self.asked.append((repository, digest))
        return self.referrers.get(digest, [])

    def read(self, repository, payload, /):
        assert repository == "registry.example/app"
        return self.blobs.get(payload.digest)


@pytest.fixture
def shelf():
    """No signatures yet."""
    return Shelf()


def candidate(content, *, name="registry.example/app:1", without=()):
    """An image that is to travel."""
    gone = {found.digest for found in without}
    documents = {p.digest: p.document for p in content.walk() if p.digest not in gone}
    return Candidate(name, "registry.example/app", content.document, documents)


def check(shelf, *contents, required=(REQUIRED,), **options):
    """What is found wrong, without the names."""
    images = [candidate(content, **options) for content in contents]
    try:
        check_images(images, required, shelf, run=Run())
    except UnsignedImagesError as error:
        return [line.partition(": ")[2] for line in error.failed]
    return []


def test_without_a_demand_nothing_is_asked(shelf):
    """Most exports demand nothing, and pay nothing for it."""
    assert check(shelf, builders.image(), required=()) == []
    assert shelf.asked == []


@pytest.mark.parametrize(
    "content",
    [builders.image(), builders.multi_platform(), builders.chart(), builders.bare_artifact()],
    ids=["image", "index", "chart", "artifact"],
)
def test_whatever_travels_must_be_signed(shelf, content):
    """Images, indexes, charts and all other artifacts alike."""
    assert check(shelf, content) == ["has no signature"]
    shelf.sign(content)
    assert check(shelf, content) == []


def test_a_signed_index_speaks_for_its_entries(shelf):
    """Nothing below it is asked for: the index names its entries by digest."""
    content = builders.multi_platform()
    shelf.sign(content)
    assert check(shelf, content) == []
    assert shelf.asked == [("registry.example/app", content.digest)]


def test_attestations_among_the_entries_must_be_signed_too(shelf):
    """Where the index is not signed, nobody answers for what is in it but is no platform."""
    content = builders.multi_platform()
    images, others = content.children[:2], content.children[2:]
    for child in images:
        shelf.sign(child)
    (reason,) = check(shelf, content)
    assert reason == (
        "neither the index nor 2 of its 4 manifests is signed with cosign.pub: "
        "unknown/unknown, unknown/unknown"
    )
    assert check(shelf, content, without=others) == []


def test_an_index_without_entries_must_be_signed_itself(shelf):
    """That all of no entries are signed says nothing."""
    assert check(shelf, builders.index([])) == ["has no signature"]
    content = builders.multi_platform(attested=False)
    assert check(shelf, content, without=content.children) == ["has no signature"]


def test_indexes_in_indexes_are_looked_into(shelf):
    """Each level may be signed itself, or by what is below it."""
    inner = builders.multi_platform(attested=False, seed=1)
    single = builders.image(seed=50, platform=Platform("linux", "riscv64"))
    outer = builders.index([inner, single])
    for child in (*inner.children, single):
        assert check(shelf, outer) != []
        shelf.sign(child)
    assert check(shelf, outer) == []


def test_each_key_may_have_signed_elsewhere(shelf):
    """One signs the index, another one each platform: both have signed the image."""
    content = builders.multi_platform(attested=False)
    shelf.sign(content)
    for child in content.children:
        shelf.sign(child, OTHER, "tag")
    assert check(shelf, content, required=(REQUIRED, ALSO)) == []


def test_the_key_that_lacks_is_named(shelf):
    """Of several keys, the one that has not signed is said."""
    content = builders.image()
    shelf.sign(content, OTHER)
    assert check(shelf, content, required=(ALSO, REQUIRED)) == [
        "is signed, but not with cosign.pub"
    ]


def test_a_payload_that_is_gone_is_said(shelf):
    """A signature that nobody can read is none, and not the same as none."""
    content = builders.image()
    shelf.sign(content)
    shelf.blobs.clear()
    assert check(shelf, content) == ["has no signature that can be read"]


def test_the_most_telling_reason_is_given(shelf):
    """Among several wrong signatures, the one by the right key says most."""
    content, other = builders.image(), builders.image(seed=9)
    shelf.add(content, cosign.referrer_signature(other, KEY))
    shelf.sign(content, OTHER)
    assert check(shelf, content) == ["has a signature of something else"]
    shelf.sign(content)
    assert check(shelf, content) == []


def test_all_that_fail_are_listed_in_order(shelf):
    """A few names stand in the message, all of them in the list."""
    contents = [builders.image(seed=seed) for seed in range(9)]
    shelf.sign(contents[4])
    images = [candidate(c, name=f"registry.example/app:{n}") for n, c in enumerate(contents)]
    with pytest.raises(UnsignedImagesError) as caught:
        check_images(images, [REQUIRED], shelf, run=Run())
    error = caught.value
    assert error.message == (
        "8 of 9 images are not signed with cosign.pub: registry.example/app:0, "
        "registry.example/app:1, registry.example/app:2 and 5 more"
    )
    assert [line.split(": ")[0][-1] for line in error.failed] == list("01235678")


def test_indexes_that_name_each_others_entries_cost_little(shelf):
    """Where every level names all of the next one, each manifest is asked for once."""
    level = [builders.image(seed=1), builders.image(seed=2)]
    for content in level:
        shelf.sign(content)
    for number in range(MAX_DEPTH - 1):
        level = [builders.index(level, annotations={"n": f"{number}.{side}"}) for side in range(2)]
    assert check(shelf, builders.index(level)) == []
    assert len(shelf.asked) == 2 * MAX_DEPTH + 1


def test_no_number_of_signatures_makes_an_import_endless(shelf, monkeypatch):
    """Whoever made the bundle chose how many refer to an image, and each costs its checking."""
    monkeypatch.setattr("airgap.transfer.image_policy.MAX_CLAIMS", 3)
    content = builders.image()
    for _ in range(4):
        shelf.sign(content, OTHER)
    shelf.sign(content)
    assert check(shelf, content) == ["is signed, but not with cosign.pub"]
    assert check(shelf, content, required=(ALSO,)) == []


def test_indexes_that_lie_too_deep_are_not_signed_by_their_entries(shelf):
    """A chain without end ends."""
    content = builders.image()
    shelf.sign(content)
    for _ in range(MAX_DEPTH + 1):
        content = builders.index([content])
    assert check(shelf, content) == ["has no signature"]


def test_each_image_is_reported(shelf):
    """Whoever watches sees which image is judged, and how."""
    signed, bare = builders.image(seed=1), builders.image(seed=2)
    shelf.sign(signed)
    recorder = Recorder()
    images = [candidate(signed, name="registry.example/app:1"), candidate(bare)]
    with pytest.raises(UnsignedImagesError):
        check_images(images, [REQUIRED], shelf, run=Run(recorder))
    assert [event.total_items for event in recorder.of(PhaseStarted)] == [2]
    assert sorted(event.outcome for event in recorder.of(ItemFinished)) == ["done", "failed"]
    assert len(recorder.of(PhaseFinished)) == 1


def test_a_place_that_fails_ends_the_check(shelf):
    """That a signature could not be got is no word about the image."""

    def refuse(*_):
        raise UnavailableError("the registry is away")

    shelf.signatures = refuse
    with pytest.raises(UnavailableError):
        check(shelf, builders.image())


def test_a_cancelled_run_checks_nothing(shelf):
    """Whoever stops a run is not told of images."""
    token = CancelToken()
    token.cancel()
    with pytest.raises(CancelledError):
        check_images([candidate(builders.image())], [REQUIRED], shelf, run=Run(cancel=token))


def test_a_signature_in_one_repository_does_not_count_in_another(shelf):
    """The same image under two names is signed where its signature is found, and only there."""
    content = builders.image()
    shelf.sign(content)
    signed = candidate(content)
    bare = replace(signed, name="registry.example/copy:1", repository="registry.example/copy")
    found = shelf.signatures
    shelf.signatures = lambda name, digest: found(name, digest) if name.endswith("/app") else []
    for images in ([signed, bare], [bare, signed]):
        with pytest.raises(UnsignedImagesError) as caught:
            check_images(images, [REQUIRED], shelf, run=Run())
        assert caught.value.failed == ("registry.example/copy:1: has no signature",)
