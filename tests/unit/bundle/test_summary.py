"""A summary says what a bundle holds, from its front alone."""

from pathlib import Path

import pytest

from airgap.bundle.reader import open_bundle
from airgap.bundle.summary import BundleSummary, summarize
from airgap.oci import mediatype
from airgap.oci.platform import Platform
from airgap.oci.referrer_kind import ReferrerKind, referrer_kind
from tests.support import builders
from tests.support.builders import Content, artifact, blob
from tests.support.bundles import BundleBuilder, MadeBundle, make_bundle


def summary_of(made: MadeBundle) -> BundleSummary:
    return summarize(made.catalog, made.documents, made.contents.get)


def test_each_image_is_described() -> None:
    """Name, digest, kind and platforms, with those that are left out."""
    summary = summary_of(make_bundle())
    by_name = {image.name: image for image in summary.images}
    app = by_name["example.com/team/app:1.4"]
    assert app.kind == "index"
    assert [(str(p.platform), p.left_out) for p in app.platforms] == [
        ("linux/amd64", None),
        ("linux/arm64/v8", "platform"),
    ]
    assert [o.reason for o in app.omitted] == ["platform"]
    tool = by_name["example.com/tool:2"]
    assert (tool.kind, [str(p.platform) for p in tool.platforms]) == ("image", ["linux/amd64"])
    chart = by_name["example.com/charts/demo:1.2.3"]
    assert (chart.kind, chart.artifact_type) == ("artifact", builders.HELM_CONFIG)
    assert chart.platforms == ()
    windows = next(image for image in summary.images if "@" in image.name)
    assert [o.reason for o in windows.omitted] == ["non-distributable"]


def test_referrers_are_listed_by_kind_and_at_any_remove() -> None:
    """The signature of an SBOM of a platform stands under the image, as the attestation does."""
    made = make_bundle()
    app = next(i for i in summary_of(made).images if i.name.endswith("app:1.4"))
    kinds = [(r.kind, r.is_in_index, bool(r.tag)) for r in app.referrers]
    assert sorted(kinds) == [
        ("attestation", True, False),
        ("sbom", False, False),
        ("signature", False, False),
        ("signature", False, True),
    ]
    sbom = next(r for r in app.referrers if r.kind == "sbom")
    assert sbom.subject == app.platforms[0].digest
    attestation = app.referrers[0]
    assert attestation.subject == app.platforms[0].digest
    assert summary_of(made).referrers == {"attestation": 1, "sbom": 1, "signature": 2}


def test_sizes_are_those_of_the_content() -> None:
    """An image's size is all that it needs; what others need too is its shared size."""
    made = make_bundle()
    summary = summary_of(made)
    app, latest = (i for i in summary.images if "team/app" in i.name)
    tool = next(i for i in summary.images if i.name == "example.com/tool:2")
    document = made.documents[tool.digest]
    layer = document.layers[0]
    assert tool.size == document.descriptor.size + document.config.size + layer.size
    assert tool.shared_size == layer.size == app.shared_size
    assert (app.size, app.shared_size) == (latest.size, latest.shared_size)
    assert summary.saved_size == layer.size
    assert summary.content_size == sum(made.catalog.sizes().values())
    assert (summary.manifests, summary.blobs) == (len(made.documents), len(made.contents))


def test_a_platform_that_no_index_names_comes_from_the_config() -> None:
    """And where the config is no JSON, or not there, it is unknown."""
    bundle = BundleBuilder()
    known = builders.image(platform=builders.ARMV7)
    broken = builders.manifest(blob(b"not json", mediatype.OCI_CONFIG))
    bundle.add(known, "example.com/known:1")
    bundle.add(broken, "example.com/broken:1")
    made = bundle.build()
    broken_row, known_row = (image.platforms[0] for image in summary_of(made).images)
    assert broken_row.platform is None
    assert known_row.platform == Platform("linux", "arm", "v7")
    without = summarize(made.catalog, made.documents, lambda digest: None)
    assert [image.platforms[0].platform for image in without.images] == [None, None]


def test_nested_indexes_are_flattened() -> None:
    """The platforms of an index in an index are those of the image."""
    inner = builders.index([builders.image(seed=1), builders.image(platform=builders.ARM64)])
    bundle = BundleBuilder()
    bundle.add(builders.index([inner, builders.image(platform=builders.ARMV7)]), "example.com/n:1")
    (image,) = summary_of(bundle.build()).images
    assert [str(p.platform) for p in image.platforms] == [
        "linux/amd64",
        "linux/arm64/v8",
        "linux/arm/v7",
    ]


SIGSTORE = "application/vnd.dev.sigstore.bundle.v0.3+json"


@pytest.mark.parametrize(
    ("content", "tag", "kind"),
    [
        (artifact(builders.SPDX), "", "sbom"),
        (artifact("application/vnd.cyclonedx+json"), "", "sbom"),
        (artifact("application/vnd.syft+json"), "", "sbom"),
        (artifact(builders.IN_TOTO), "", "attestation"),
        (artifact("application/vnd.dsse.envelope.v1+json"), "", "attestation"),
        (artifact("application/vnd.cncf.notary.signature"), "", "signature"),
        (artifact(SIGSTORE), "", "signature"),
        (
            artifact(SIGSTORE, annotations={"dev.sigstore.bundle.content": "dsse-envelope"}),
            "",
            "attestation",
        ),
        (artifact("application/vnd.example.thing"), "", "artifact"),
        (artifact("application/vnd.example.thing"), f"sha256-{'a' * 64}.att", "attestation"),
        (artifact("application/vnd.example.thing"), f"sha256-{'a' * 64}.sbom", "sbom"),
        (artifact("application/vnd.example.thing"), f"sha256-{'a' * 64}.sig", "signature"),
        (builders.cosign_signature(artifact("a/b").descriptor)[1], "", "signature"),
        (builders.chart(), "", "artifact"),
        (builders.index([]), "", "artifact"),
    ],
)
def test_the_kind_of_a_referrer_is_told(content: Content, tag: str, kind: ReferrerKind) -> None:
    """By cosign's tag, else by the artifact type, the config and the layers."""
    assert referrer_kind(content.document, tag=tag) == kind


def test_a_reader_is_all_that_a_summary_needs(tmp_path: Path) -> None:
    """A file whose layers are all damaged is described all the same."""
    made = make_bundle()
    data = bytearray(made.data)
    configs = {d.config.digest for d in made.documents.values() if getattr(d, "config", None)}
    for extent in made.layout.blobs:
        if extent.digest not in configs:
            data[extent.offset : extent.end] = bytes(extent.length)
    with open_bundle(made.write(tmp_path, bytes(data))) as reader:
        summary = summarize(reader.catalog, reader.documents, reader.read_config)
    assert summary == summary_of(made)
    assert summary.bundle_id == made.catalog.id
