"""Images that nobody signed with a demanded key stay where they are."""

from __future__ import annotations

import pytest

from airgap.errors import UnsignedImagesError
from airgap.oci.platform import Platform
from airgap.oci.reference import Reference
from airgap.transfer.export import plan_export
from airgap.transfer.export_options import ExportOptions
from airgap.transfer.image_policy import RequiredKey
from tests.support import builders, cosign
from tests.support.embedded import EmbeddedRegistry
from tests.support.transfers import export, open_client

KEY = cosign.key()
OTHER = cosign.key("ed25519")
IMAGE = builders.multi_platform(attested=False)
AMD64, ARM64 = IMAGE.children


def required(*keys):
    """What `--require-signature` gives."""
    names = {KEY.id: "cosign.pub", OTHER.id: "other.pub"}
    return tuple(RequiredKey(names[key.id], key.public) for key in keys)


def sign(repository, content, key=KEY, form="referrer"):
    """Put a signature beside an image."""
    if form == "referrer":
        builders.push(repository, cosign.referrer_signature(content, key))
    else:
        tag, made = cosign.tag_signature(content, key)
        builders.push(repository, made, tag=tag)


@pytest.fixture
def outside():
    """A registry with an image for two platforms."""
    with EmbeddedRegistry() as registry:
        builders.push(registry.repository("team/app"), IMAGE, tag="1.0")
        yield registry


@pytest.mark.parametrize("form", ["referrer", "tag"])
@pytest.mark.parametrize("signs", ["index", "platforms"])
@pytest.mark.parametrize("referrers", [True, False], ids=["referrers", "no-referrers"])
def test_signed_images_travel(outside, tmp_path, form, signs, referrers):
    """An index travels when it is signed, or each of its platforms is; signatures may stay."""
    repository = outside.repository("team/app")
    for content in {"index": [IMAGE], "platforms": [AMD64, ARM64]}[signs]:
        sign(repository, content, form=form)
    options = {"referrers": referrers, "require_signature": required(KEY)}
    result = export(f"{outside.host}/team/app:1.0", tmp_path / "b.tar", **options)
    assert [image.digest for image in result.plan.images] == [IMAGE.digest]


@pytest.mark.parametrize("target", ["file", "volumes"])
@pytest.mark.parametrize("keep_going", [True, False])
def test_one_unsigned_image_holds_back_all(outside, tmp_path, target, keep_going):
    """What fails is listed by name, and nothing is written, not even with --keep-going."""
    repository = outside.repository("team/app")
    sign(repository, IMAGE)
    for number in (1, 2):
        builders.push(repository, builders.image(seed=70 + number), tag=f"bare{number}")
    names = [f"{outside.host}/team/app:{tag}" for tag in ("bare2", "1.0", "bare1")]
    size = {"volume_size": 1 << 20} if target == "volumes" else {}
    with pytest.raises(UnsignedImagesError, match="2 of 3 images are not signed") as caught:
        export(
            names,
            tmp_path / "b.tar",
            keep_going=keep_going,
            require_signature=required(KEY),
            **size,
        )
    assert caught.value.failed == (
        f"{outside.host}/team/app:bare1: has no signature",
        f"{outside.host}/team/app:bare2: has no signature",
    )
    assert caught.value.exit_code == 21
    assert list(tmp_path.iterdir()) == []
    assert len(outside.matching("GET", r"/blobs/")) == 1, "only the signature was looked into"


def test_a_dry_run_says_so_too(outside, tmp_path):
    """Who asks what would travel learns that nothing would."""
    options = ExportOptions(require_signature=required(KEY))
    wanted = [Reference.parse(f"{outside.host}/team/app:1.0")]
    with open_client() as client, pytest.raises(UnsignedImagesError):
        plan_export(wanted, tmp_path / "b.tar", client=client, options=options)


def test_every_platform_that_travels_must_be_signed(outside, tmp_path):
    """Where the index is not signed, the unsigned platform is named; what stays does not matter."""
    sign(outside.repository("team/app"), AMD64)
    wanted = f"{outside.host}/team/app:1.0"
    with pytest.raises(UnsignedImagesError) as caught:
        export(wanted, tmp_path / "b.tar", require_signature=required(KEY))
    assert caught.value.failed[0].endswith(
        "neither the index nor 1 of its 2 manifests is signed with cosign.pub: linux/arm64/v8"
    )
    linux = (Platform.parse("linux/amd64"),)
    export(wanted, tmp_path / "b.tar", platforms=linux, require_signature=required(KEY))


def test_each_given_key_must_have_signed(outside, tmp_path):
    """Two keys are two people who have to agree."""
    repository = outside.repository("team/app")
    sign(repository, IMAGE)
    wanted = f"{outside.host}/team/app:1.0"
    with pytest.raises(UnsignedImagesError) as caught:
        export(wanted, tmp_path / "b.tar", require_signature=required(KEY, OTHER))
    assert caught.value.failed == (f"{wanted}: is signed, but not with other.pub",)
    sign(repository, IMAGE, OTHER, form="tag")
    export(wanted, tmp_path / "b.tar", require_signature=required(KEY, OTHER))


def test_a_signature_that_was_moved_does_not_count(outside, tmp_path):
    """Under the tag of another image, a right signature says what it was made for."""
    other = builders.image(seed=80)
    _, made = cosign.tag_signature(other, KEY)
    builders.push(outside.repository("team/app"), made, tag=cosign.signature_tag(IMAGE))
    wanted = f"{outside.host}/team/app:1.0"
    with pytest.raises(UnsignedImagesError) as caught:
        export(wanted, tmp_path / "b.tar", require_signature=required(KEY))
    assert caught.value.failed == (f"{wanted}: has a signature of another image",)
