"""Blobs that are left to the receiver: known, counted, and offered to no engine."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airgap.bundle import closure
from airgap.bundle.catalog import Catalog
from airgap.bundle.check import check_bundle
from airgap.bundle.engines import docker_manifest_json, index_json
from airgap.bundle.held import HeldBlob
from airgap.bundle.reader import open_bundle
from airgap.bundle.stream import BundleStream
from airgap.bundle.summary import summarize
from airgap.errors import BundleFormatError, ExitCode, IncompleteBundleError, SizeMismatchError
from airgap.oci.digest import Digest
from airgap.oci.document import canonical_bytes
from airgap.oci.layout import REF_NAME
from airgap.oci.mediatype import OCTET_STREAM
from airgap.record.bases import Base
from airgap.run import Run
from airgap.wording import size_text
from tests.support import builders, bundles
from tests.support.bundles import INVENTORY, BundleBuilder, MadeBundle, differential, make_bundle
from tests.support.volume_sets import plan, split
from tests.support.writing import write, write_volumes

WHOLE = make_bundle(layer_size=3000)
SHARED = max(WHOLE.contents, key=lambda digest: len(WHOLE.contents[digest]))
"""The layer of app and tool."""
SIZE = len(WHOLE.contents[SHARED])
MADE = differential(WHOLE, [SHARED])
BUNDLE = Base("bundle", Digest.of(b"1.0"))
Change = Callable[[dict[str, Any]], object]


def test_a_catalog_with_held_blobs_is_read_as_it_was_written() -> None:
    """Bases and held blobs come back, and the catalog requires that readers know of them."""
    found = Catalog.parse(MADE.catalog.raw)
    assert found == MADE.catalog
    assert found.bases == (INVENTORY,)
    assert found.held == (HeldBlob(SHARED, SIZE, 0, "team/app"),)
    assert json.loads(found.raw)["requires"] == ["held-blobs"]
    assert found.held_size == SIZE


def test_without_held_blobs_a_catalog_is_what_it_was() -> None:
    """It requires nothing and has no fields for them."""
    value = json.loads(differential(WHOLE, []).catalog.raw)
    assert value["requires"] == []
    assert "bases" not in json.loads(WHOLE.catalog.raw)
    assert "held" not in json.loads(WHOLE.catalog.raw)


def test_the_order_of_bases_and_blobs_does_not_matter() -> None:
    """However they are given, the bytes are the same, and each blob keeps its base."""
    digests = sorted(WHOLE.contents)[:3]
    bases = [BUNDLE, INVENTORY]
    held = [
        HeldBlob(digests[0], 1, 0, "example.com/a"),
        HeldBlob(digests[1], 2, 1, "a"),
        HeldBlob(digests[2], 3, 0, "example.com/a"),
    ]
    turned = [HeldBlob(h.digest, h.size, 1 - h.base, h.repository) for h in reversed(held)]

    def build(bases: list[Base], held: list[HeldBlob]) -> Catalog:
        return Catalog.build(
            images=[], referrers=[], manifests=[], blobs=[], omitted=[], bases=bases, held=held
        )

    one, other = build(bases, held), build([*reversed(bases), BUNDLE], turned)
    assert one == other == Catalog.parse(one.raw)
    assert [one.bases[h.base].kind for h in one.held] == ["bundle", "inventory", "bundle"]


def test_a_differential_is_read_by_seeking_and_from_a_pipe(tmp_path: Path) -> None:
    """All manifests and all blobs that travel come out; what is held is not there."""
    path = MADE.write(tmp_path)
    with open_bundle(path) as reader:
        assert reader.catalog == MADE.catalog
        assert reader.documents.keys() == WHOLE.documents.keys()
        assert reader.length(SHARED) is None
        assert not reader.has_blob(WHOLE.descriptor(SHARED))
        for digest, content in MADE.contents.items():
            assert reader.read_blob(digest) == content
    stream = BundleStream(io.BytesIO(MADE.data), run=Run())
    assert stream.front().catalog == MADE.catalog
    assert {blob.digest: b"".join(blob.chunks) for blob in stream.blobs()} == MADE.contents
    stream.finish()


def test_the_same_differential_is_written_twice_with_the_same_bytes(tmp_path: Path) -> None:
    """In one file and in volumes."""
    write(tmp_path / "a.tar", MADE)
    assert (tmp_path / "a.tar").read_bytes() == MADE.data
    made = split(MADE, 1500)
    folder = tmp_path / "volumes"
    folder.mkdir()
    write_volumes(folder / "a.tar", MADE, plan(MADE, 1500))
    assert [path.read_bytes() for path in sorted(folder.iterdir())] == list(made.data)


@pytest.mark.parametrize("limit", [None, 1500])
def test_a_differential_is_whole_with_a_note(tmp_path: Path, limit: int | None) -> None:
    """A check finds nothing, and says how much is left to the receiver."""
    if limit is None:
        MADE.write(tmp_path)
    else:
        split(MADE, limit).write(tmp_path)
    report = check_bundle(tmp_path, run=Run())
    assert report.findings == ()
    assert report.blobs == len(MADE.contents)
    (note,) = report.notes
    assert note.startswith(f"1 blob ({size_text(SIZE)}) left to the receiver")


def names(raw: bytes) -> set[str]:
    """The names that an index.json gives out."""
    entries = json.loads(raw)["manifests"]
    return {e["annotations"][REF_NAME] for e in entries if "annotations" in e}


def test_engines_are_offered_only_what_is_whole_here() -> None:
    """An image that needs a held blob has no name, neither has an index above it; others do."""
    index = index_json(MADE.catalog, MADE.documents)
    docker = json.loads(docker_manifest_json(MADE.catalog, MADE.documents))
    before = names(index_json(WHOLE.catalog, WHOLE.documents))
    assert {"example.com/tool:2", "example.com/team/app:1.4"} <= before
    assert before - names(index) == {
        "example.com/tool:2",
        "example.com/team/app:1.4",
        "example.com/team/app:latest",
    }
    assert not {tag for entry in docker for tag in entry["RepoTags"] or ()} & (
        before - names(index)
    )


def test_a_summary_tells_what_is_left_and_why() -> None:
    """In all, by base, and for each image; sizes count what travels."""
    summary = summarize(MADE.catalog, MADE.documents, MADE.contents.get)
    assert (summary.held_blobs, summary.held_size) == (1, SIZE)
    (base,) = summary.bases
    assert (base.kind, base.id, base.place) == (INVENTORY.kind, INVENTORY.id, INVENTORY.place)
    assert (base.held_blobs, base.held_size) == (1, SIZE)
    by_name = {image.name: image for image in summary.images}
    tool = by_name["example.com/tool:2"]
    assert (tool.held_blobs, tool.held_size) == (1, SIZE)
    whole = summarize(WHOLE.catalog, WHOLE.documents, WHOLE.contents.get)
    before = {image.name: image for image in whole.images}
    assert tool.size == before["example.com/tool:2"].size - SIZE
    assert by_name["example.com/charts/demo:1.2.3"] == before["example.com/charts/demo:1.2.3"]


def test_held_blobs_concern_the_images_that_need_them() -> None:
    """The same names as for a blob that travels."""
    before = closure.affected([SHARED], WHOLE.catalog, WHOLE.documents)
    assert closure.affected([SHARED], MADE.catalog, MADE.documents) == before
    assert list(closure.gaps(MADE.catalog, MADE.documents)) == []


def test_everything_but_manifests_may_be_left(tmp_path: Path) -> None:
    """A bundle of nothing but manifests is a bundle: the update in which nothing changed."""
    made = differential(WHOLE, WHOLE.contents)
    path = made.write(tmp_path)
    assert check_bundle(path, run=Run()).findings == ()
    assert names(index_json(made.catalog, made.documents)) == {
        name for name in names(index_json(WHOLE.catalog, WHOLE.documents)) if "@" in name
    } - {name for name in names(index_json(WHOLE.catalog, WHOLE.documents)) if "win" in name}


# -- what is refused ---------------------------------------------------------------------------


def changed(change: Change) -> bytes:
    value = json.loads(MADE.catalog.raw)
    change(value)
    return canonical_bytes(value)


def held(**values: object) -> Change:
    return lambda v: v["held"][0].update(values)


def base(**values: object) -> Change:
    return lambda v: v["bases"][0].update(values)


def left_out(blob: dict[str, Any], parent: dict[str, Any]) -> dict[str, Any]:
    """A blob that is left to the receiver as one that is left out."""
    named = {"digest": blob["digest"], "size": blob["size"], "mediaType": OCTET_STREAM}
    return named | {"reason": "non-distributable", "parents": [parent["digest"]]}


CYRILLIC_A = "\N{CYRILLIC SMALL LETTER A}"


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.update(requires=[]),
        lambda v: v.pop("requires"),
        lambda v: v.update(requires=["held-blobs", "held-blobs"]),
        lambda v: v.update(requires="held-blobs"),
        lambda v: v.update(held=[]),
        lambda v: v.pop("held"),
        lambda v: v.update(held={}),
        lambda v: v.update(held=[1]),
        lambda v: v["held"].append(v["held"][0]),
        lambda v: v["held"].append({**v["held"][0], "digest": "sha256:" + "0" * 64}),
        lambda v: v.pop("bases"),
        lambda v: v.update(bases=[]),
        lambda v: v["bases"].append(v["bases"][0]),
        lambda v: v["bases"].append({"kind": "bundle", "id": v["bases"][0]["id"]}),
        lambda v: v["blobs"].append({"digest": v["held"][0]["digest"], "size": SIZE}),
        lambda v: v["held"][0].update(digest=v["manifests"][0]["digest"]),
        lambda v: v["omitted"].append(left_out(v["held"][0], v["manifests"][0])),
        held(base=1),
        held(base=-1),
        held(base=True),
        held(base=0.0),
        held(base="0"),
        held(base=None),
        held(size=-1),
        held(size=1 << 60),
        held(size="1"),
        held(digest="md5:" + "0" * 32),
        held(digest="sha256:" + "A" * 64),
        held(repository=None),
        held(repository=""),
        held(repository="team/../app"),
        held(repository="../app"),
        held(repository="/app"),
        held(repository="team//app"),
        held(repository="team/app/"),
        held(repository="Team/app"),
        held(repository=f"te{CYRILLIC_A}m/app"),
        held(repository="team/\N{FULLWIDTH LATIN SMALL LETTER A}pp"),
        held(repository="team/app\n"),
        held(repository="team/app\0"),
        held(repository="team/app:1"),
        held(repository="team/app@sha256:" + "0" * 64),
        held(repository="registry.internal:5000/team/app"),
        held(repository="a" * 256),
        base(kind="memory"),
        base(kind=None),
        base(id="sha256:1"),
        base(id=None),
        base(place="registry.internal:5000/team"),
        base(place=f"registry.intern{CYRILLIC_A}l"),
        base(place="user@registry.internal"),
        base(place="http://registry.internal"),
        base(place=1),
    ],
)
def test_contradictions_are_refused(change: Change) -> None:
    """Held blobs that no import could look for, or that are named in two ways, are refused."""
    with pytest.raises(BundleFormatError):
        Catalog.parse(changed(change))


@pytest.mark.parametrize("kind", ["bundle", "lock"])
def test_bases_that_name_sources_have_full_names(kind: Any) -> None:
    """Registry and repository, where an import has to map them."""
    made = differential(
        WHOLE, [SHARED], base=Base(kind, Digest.of(b"1.0")), repository="example.com/team/app"
    )
    found = Catalog.parse(made.catalog.raw)
    assert found.held[0].repository == "example.com/team/app"
    for wrong in (
        "example.com",
        "example.com/../app",
        "app",
        "/app",
        f"ex{CYRILLIC_A}mple.com/app",
    ):
        value = json.loads(made.catalog.raw)
        value["held"][0]["repository"] = wrong
        raw = canonical_bytes(value)
        with pytest.raises(BundleFormatError, match="is not a repository"):
            Catalog.parse(raw)


def test_what_a_newer_airgap_requires_is_named_beside_what_is_known() -> None:
    """Of two features the unknown one is in the message, and the known one is not."""
    with pytest.raises(BundleFormatError, match="'deltas'") as caught:
        Catalog.parse(changed(lambda v: v.update(requires=["deltas", "held-blobs"])))
    assert "held-blobs" not in caught.value.message


def test_a_size_that_does_not_fit_the_manifest_is_refused(tmp_path: Path) -> None:
    """Catalog and manifest must agree on the size of a held blob, too: exit 20."""
    lying = MadeBundle(WHOLE.layout, WHOLE.documents, {**WHOLE.contents, SHARED: b"short"})
    made = differential(lying, [SHARED])
    error = bundles.refusal(tmp_path, made.data)
    assert isinstance(error, SizeMismatchError)
    assert check_bundle(tmp_path / "bundle.tar", run=Run()).exit_code != ExitCode.OK


def test_a_held_blob_that_no_image_needs_is_refused(tmp_path: Path) -> None:
    """Nobody should be asked for what would be used by nothing."""
    extra = MadeBundle(WHOLE.layout, WHOLE.documents, {**WHOLE.contents, BUNDLE.id: b"x"})
    made = differential(extra, [SHARED, BUNDLE.id])
    error = bundles.refusal(tmp_path, made.data)
    assert error.exit_code == ExitCode.BUNDLE_FORMAT
    assert f"asks for {BUNDLE.id}" in error.message
    report = check_bundle(tmp_path / "bundle.tar", run=Run())
    assert report.exit_code == ExitCode.BUNDLE_FORMAT


def test_a_manifest_cannot_be_left_to_the_receiver(tmp_path: Path) -> None:
    """All manifests travel: a held child of an index counts as missing."""
    bundle = BundleBuilder()
    child = builders.image(seed=1)
    bundle.add(builders.index([child]), "example.com/app:1")
    made = bundle.build()
    documents = {d: v for d, v in made.documents.items() if d != child.digest}
    catalog = Catalog.build(
        images=[bundles.named("example.com/app:1", next(iter(documents.values())))],
        referrers=[],
        manifests=[document.descriptor for document in documents.values()],
        blobs=[],
        omitted=[],
        bases=[INVENTORY],
        held=[HeldBlob(child.digest, child.descriptor.size, 0, "app")],
    )
    wrong = MadeBundle(bundles.plan_layout(catalog, documents), documents, {})
    error = bundles.refusal(tmp_path, wrong.data)
    assert isinstance(error, IncompleteBundleError)
    assert error.missing == (str(child.digest),)


def test_a_catalog_of_too_many_held_blobs_is_refused_before_it_is_parsed() -> None:
    """A million entries take more than a catalog may have; no object is made of them."""
    entry = canonical_bytes(json.loads(MADE.catalog.raw)["held"][0])
    raw = MADE.catalog.raw.replace(b'"held":[', b'"held":[' + (entry + b",") * 1_000_000)
    with pytest.raises(BundleFormatError, match="more than"):
        Catalog.parse(raw)
