"""Whatever is asked for, and in whatever order it was found, the plan of an export is whole."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from airgap.bundle.catalog import Catalog
from airgap.bundle.closure import gaps, unreferenced
from airgap.bundle.layout import plan_layout
from airgap.errors import ContentNotFoundError, UnavailableError
from airgap.oci.reference import Reference
from airgap.transfer.destination import Destination, plan_targets
from airgap.transfer.plan import select_export
from airgap.transfer.publication import plan_publications
from airgap.transfer.resolution import Resolution, Selection
from tests.support import builders
from tests.support.builders import AMD64, ARM64, ARMV7
from tests.support.transfers import Finds

REPOSITORIES = ("a.example.com/x", "b.example.com/y", "docker.io/library/z")
_SHARED = [builders.layer(50 + number, seed=number) for number in range(4)]
_FOREIGN = builders.foreign_layer("https://example.com/layer", 60)


def _image(number, platform=AMD64):
    layers = [_SHARED[number % 4], _SHARED[(number * 3 + 1) % 4]]
    if number == 5:
        layers.append(_FOREIGN)
    return builders.image(layers=layers, seed=number, platform=platform)


_IMAGES = [_image(number) for number in range(6)]
_MULTI = [
    builders.multi_platform((AMD64, ARM64), seed=1, layers=(_SHARED[0],)),
    builders.multi_platform((ARM64, ARMV7), seed=2, layers=(_SHARED[1], 40)),
    builders.index([builders.multi_platform((AMD64,), seed=3, attested=False), _image(9, ARM64)]),
]
POOL = [*_IMAGES, *_MULTI, builders.chart(), builders.bare_artifact(), builders.index([])]
SUBJECTS = [part for content in POOL for part in content.walk()]
BLOBS = sorted({digest for content in POOL for digest in content.all_blobs()})


@st.composite
def finds(draw):
    """Some references, referrers of anything, and things that are missing."""
    found = Finds()
    names = st.tuples(
        st.sampled_from(REPOSITORIES), st.sampled_from("123"), st.integers(0, len(POOL) - 1)
    )
    asked = draw(st.lists(names, min_size=1, max_size=6, unique_by=lambda n: n[:2]))
    by_digest = draw(st.booleans())
    for repository, tag, number in asked:
        content = POOL[number]
        name = (
            f"{repository}@{content.digest}" if by_digest and number % 2 else f"{repository}:{tag}"
        )
        if (Reference.parse(name), content.digest) not in found.roots:
            found.image(name, content)
    for number in draw(st.lists(st.integers(0, len(SUBJECTS) - 1), max_size=4, unique=True)):
        subject = SUBJECTS[number]
        sbom = builders.sbom(subject.descriptor, seed=number)
        for repository in REPOSITORIES:
            found.refer(repository, subject, sbom)
        if number % 2:
            tag, cosign = builders.cosign_signature(sbom.descriptor)
            found.refer(REPOSITORIES[0], sbom, cosign, tag)
    roots = {digest for _, digest in found.roots}
    for number in draw(st.lists(st.integers(0, len(SUBJECTS) - 1), max_size=2, unique=True)):
        if SUBJECTS[number].digest not in roots:
            for repository in REPOSITORIES:
                found.lack(repository, SUBJECTS[number])
    return found


selections = st.builds(
    Selection,
    platforms=st.sampled_from([(), (AMD64,), (ARM64,), (AMD64, ARMV7)]),
    allow_missing_at_source=st.booleans(),
    non_distributable=st.booleans(),
    load_platform=st.sampled_from([None, ARM64]),
)
losses = st.dictionaries(
    st.sampled_from(BLOBS),
    st.sampled_from([ContentNotFoundError("gone"), UnavailableError("broke off")]),
    max_size=2,
)


def shuffled(resolution: Resolution, draw) -> Resolution:
    """The same finds, as other threads would have brought them in."""

    def mixed(mapping):
        return dict(draw(st.permutations(list(mapping.items()))))

    return replace(
        resolution,
        roots=tuple(draw(st.permutations(resolution.roots))),
        documents=mixed(resolution.documents),
        referrers=mixed(resolution.referrers),
        errors=mixed(resolution.errors),
    )


def said(selected):
    """What failed, as a user reads it."""
    return [(str(reference), error.message) for reference, error in selected.failed]


@given(found=finds(), selection=selections, lost=losses)
def test_a_plan_is_whole(found, selection, lost):
    """Everything that a manifest names travels or is listed; nothing travels without a reason."""
    resolution = found.resolution()
    selected = select_export(resolution, selection, lost=lost)
    catalog = selected.catalog
    assert list(gaps(catalog, selected.documents)) == []
    assert unreferenced(catalog, selected.documents) == []
    assert Catalog.parse(catalog.raw) == catalog
    assert [f.descriptor.digest for f in selected.fetches] == [d for d, _ in catalog.blobs]
    assert not {f.descriptor.digest for f in selected.fetches} & lost.keys()
    reasons = {omission.reason for omission in catalog.omitted}
    assert selection.platforms or "platform" not in reasons
    assert selection.allow_missing_at_source or "missing-at-source" not in reasons
    assert not selection.non_distributable or "non-distributable" not in reasons
    failed = {reference for reference, _ in selected.failed}
    named = {image.reference for image in catalog.images}
    assert failed | named == {reference for reference, _ in resolution.roots}
    assert not failed & named


@given(found=finds(), selection=selections, lost=losses, data=st.data())
def test_the_order_of_finding_does_not_matter(found, selection, lost, data):
    """The same inputs give the same bytes, whoever asked first and whatever came first."""
    resolution = found.resolution()
    other = shuffled(resolution, data.draw)
    one = select_export(resolution, selection, lost=lost)
    two = select_export(other, selection, lost=lost)
    assert one.catalog.raw == two.catalog.raw
    assert one.fetches == two.fetches
    assert said(one) == said(two)
    layouts = [plan_layout(s.catalog, s.documents) for s in (one, two)]
    assert layouts[0].front == layouts[1].front
    assert layouts[0].placement == layouts[1].placement


@given(found=finds(), selection=selections, lost=losses)
def test_what_fails_leaves_no_trace(found, selection, lost):
    """A plan without the images that failed is the plan that never knew of them."""
    resolution = found.resolution()
    selected = select_export(resolution, selection, lost=lost)
    failed = {reference for reference, _ in selected.failed}
    without = replace(
        resolution, roots=tuple(root for root in resolution.roots if root[0] not in failed)
    )
    assert select_export(without, selection, lost=lost).catalog.raw == selected.catalog.raw


@given(found=finds(), selection=selections)
def test_what_was_planned_can_be_published(found, selection):
    """An import of the plan finds everything that it needs, children before parents."""
    selected = select_export(found.resolution(), selection)
    targets = plan_targets(selected.catalog.images, Destination.parse("host"), keep_host=True)
    publications = plan_publications(targets, selected.catalog, selected.documents)
    held = {digest for digest, _ in selected.catalog.blobs}
    for publication in publications:
        sent: set = set()
        for document in publication.all_documents():
            for child in document.children():
                assert child.digest in sent | held or child.digest not in selected.documents
            sent.add(document.descriptor.digest)
        assert {blob.digest for blob in publication.blobs} <= held
    travelling = {d for p in publications for d in (b.digest for b in p.blobs)}
    assert travelling == held
