"""Images that nobody signed with a demanded key stay where they are."""

from __future__ import annotations

import pyrage
import pytest

from airgap.content.age import Identities, Recipients
from airgap.errors import (
    IncompleteBundleError,
    MissingBaseError,
    SettingsError,
    UnsignedImagesError,
)
from airgap.oci.platform import Platform
from airgap.oci.reference import Reference
from airgap.run import Run
from airgap.transfer import image_evidence
from airgap.transfer.decrypted import EncryptedBundle
from airgap.transfer.destination import Destination
from airgap.transfer.encrypted import Encryption
from airgap.transfer.export import plan_export
from airgap.transfer.export_options import ExportOptions
from airgap.transfer.gather import Gathering, gather_bundle
from airgap.transfer.image_policy import RequiredKey
from airgap.transfer.publish import ImportOptions
from tests.support import builders, cosign
from tests.support.command_line import airgap, assert_refused
from tests.support.differentials import against
from tests.support.embedded import EmbeddedRegistry
from tests.support.transfers import (
    assert_holds,
    bring,
    catalog_of,
    export,
    open_client,
    pack_into,
    sent,
)

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
    assert caught.value.failed == (f"{wanted}: has a signature of something else",)


def gather(folder, registry, **options):
    """Import what one medium holds; pieces of blobs wait beside it for others."""
    with open_client() as client:
        return gather_bundle(
            [folder],
            Destination.parse(registry.host),
            client=client,
            gathering=Gathering(folder.parent / "state"),
            options=ImportOptions(**options),
        )


def packed(folder, *signatures, **options):
    """A bundle of the image, with signatures of it."""
    return pack_into(
        folder,
        {"team/app:1.0": IMAGE},
        referrers=[("team/app", made, tag) for tag, made in signatures],
        **options,
    )


def by_referrer(content=IMAGE, key=KEY):
    """A signature in the newer form."""
    return None, cosign.referrer_signature(content, key)


@pytest.mark.parametrize("form", ["referrer", "tag"])
@pytest.mark.parametrize("target", ["file", "volumes", "gathered"])
def test_signed_images_are_imported(tmp_path, inside, form, target):
    """A bundle brings its signatures along, and they are read out of it."""
    signature = by_referrer() if form == "referrer" else cosign.tag_signature(IMAGE, KEY)
    size = {} if target == "file" else {"volume_size": 1 << 20}
    path = packed(tmp_path, signature, **size)
    if target == "gathered":
        gather(tmp_path, inside, require_signature=required(KEY))
    else:
        there = path if target == "file" else tmp_path
        bring(there, inside.host, require_signature=required(KEY))
    assert_holds(inside, "team/app", IMAGE, "1.0")


@pytest.mark.parametrize("keep_going", [True, False])
@pytest.mark.parametrize("dry_run", [True, False])
def test_unsigned_images_are_not_imported(tmp_path, inside, keep_going, dry_run):
    """Nothing is sent, whatever else the options say."""
    path = packed(tmp_path, by_referrer(key=OTHER))
    options = {"keep_going": keep_going, "dry_run": dry_run, "require_signature": required(KEY)}
    with pytest.raises(UnsignedImagesError) as caught:
        bring(path, inside.host, **options)
    assert caught.value.failed[0].endswith("/team/app:1.0: is signed, but not with cosign.pub")
    assert sent(inside) == []


def test_only_what_is_imported_must_be_signed(tmp_path, inside):
    """An unsigned image that --only leaves out holds nothing back."""
    contents = {"team/app:1.0": IMAGE, "team/bare:1.0": builders.image(seed=90)}
    path = pack_into(tmp_path, contents, referrers=[("team/app", by_referrer()[1], None)])
    with pytest.raises(UnsignedImagesError):
        bring(path, inside.host, require_signature=required(KEY))
    bring(path, inside.host, only=("**/team/app",), require_signature=required(KEY))
    assert_holds(inside, "team/app", IMAGE, "1.0")


def test_a_pipe_with_unread_signatures_is_refused(tmp_path, inside):
    """The payloads come behind the front: nothing is sent, and the way out is said."""
    path = packed(tmp_path, by_referrer())
    with pytest.raises(SettingsError, match="pipe cannot be read twice") as caught:
        bring(path.read_bytes(), inside.host, require_signature=required(KEY))
    assert "file first" in (caught.value.hint or "")
    assert sent(inside) == []


def test_a_pipe_of_unsigned_images_is_refused_as_such(tmp_path, inside):
    """That nobody signed can be seen without a payload."""
    path = packed(tmp_path)
    with pytest.raises(UnsignedImagesError, match="1 of 1 images is not signed"):
        bring(path.read_bytes(), inside.host, require_signature=required(KEY))
    assert sent(inside) == []


def test_signatures_that_the_receiver_has_are_read_there(tmp_path, inside):
    """A pipe that brings what is there already can be judged, and imported once more."""
    path = packed(tmp_path, by_referrer())
    bring(path, inside.host)
    bring(path.read_bytes(), inside.host, require_signature=required(KEY))


def test_encrypted_files_are_judged(tmp_path, inside):
    """Their payloads are decrypted before anything is sent."""
    key = pyrage.x25519.Identity.generate()
    encryption = Encryption(Recipients((str(key.to_public()),)))
    (tmp_path / "key").write_text(f"{key}\n")
    identities = Identities.read([tmp_path / "key"], lambda _: "")
    for name, signer in (("bad", OTHER), ("good", KEY)):
        folder = tmp_path / name
        folder.mkdir()
        with EmbeddedRegistry() as outside:
            builders.push(outside.repository("team/app"), IMAGE, tag="1.0")
            sign(outside.repository("team/app"), IMAGE, signer)
            export(f"{outside.host}/team/app:1.0", folder / "b.tar.age", encrypt=encryption)
        with EncryptedBundle([folder], identities, run=Run()) as bundle:
            if name == "good":
                bring(bundle, inside.host, require_signature=required(KEY))
                assert_holds(inside, "team/app", IMAGE, "1.0")
                continue
            with pytest.raises(UnsignedImagesError):
                bring(bundle, inside.host, require_signature=required(KEY))
            assert sent(inside) == []


def test_signatures_that_are_too_much_for_memory_are_refused(tmp_path, inside, monkeypatch):
    """Encrypted files are gone through once for all of them: what has no room is said."""
    key = pyrage.x25519.Identity.generate()
    (tmp_path / "key").write_text(f"{key}\n")
    identities = Identities.read([tmp_path / "key"], lambda _: "")
    monkeypatch.setattr(image_evidence, "MAX_PAYLOADS", 10)
    with EmbeddedRegistry() as outside:
        builders.push(outside.repository("team/app"), IMAGE, tag="1.0")
        sign(outside.repository("team/app"), IMAGE)
        encryption = Encryption(Recipients((str(key.to_public()),)))
        export(f"{outside.host}/team/app:1.0", tmp_path / "b.tar.age", encrypt=encryption)
    with (
        EncryptedBundle([tmp_path / "b.tar.age"], identities, run=Run()) as bundle,
        pytest.raises(SettingsError, match="more than 10 bytes together"),
    ):
        bring(bundle, inside.host, require_signature=required(KEY))
    assert sent(inside) == []


def test_a_signature_in_another_volume_is_asked_for(tmp_path, inside):
    """Media are read one by one: the one with the signatures has to come first."""
    big = builders.image(layers=(900_000, 900_000, 900_000), seed=95)
    made = cosign.referrer_signature(big, KEY)
    (tmp_path / "out").mkdir()
    (tmp_path / "usb").mkdir()
    pack_into(
        tmp_path / "out",
        {"team/big:1.0": big},
        referrers=[("team/big", made, None)],
        volume_size=1 << 20,
    )
    volumes = sorted((tmp_path / "out").glob("*.tar"))
    payload = made.blobs[1].data
    holders = [path for path in volumes if payload in path.read_bytes()]
    assert len(holders) == 1
    other = next(path for path in volumes if path not in holders)
    other.rename(tmp_path / "usb" / other.name)
    with pytest.raises(IncompleteBundleError, match=r"the signature .* lies in volume"):
        gather(tmp_path / "usb", inside, require_signature=required(KEY))
    assert sent(inside) == []
    holders[0].rename(tmp_path / "usb" / holders[0].name)
    with pytest.raises(IncompleteBundleError, match="still to come"):
        gather(tmp_path / "usb", inside, require_signature=required(KEY))
    for path in (tmp_path / "usb").iterdir():
        path.unlink()
    for path in (tmp_path / "out").glob("*.tar"):
        path.rename(tmp_path / "usb" / path.name)
    gather(tmp_path / "usb", inside, require_signature=required(KEY))
    assert_holds(inside, "team/big", big, "1.0")


def test_signatures_that_were_left_to_the_receiver_are_read_there(tmp_path, outside, inside):
    """An update leaves out what the first bundle brought, its signatures among it."""
    sign(outside.repository("team/app"), IMAGE)
    name = f"{outside.host}/team/app:1.0"
    export(name, tmp_path / "first.tar")
    bring(tmp_path / "first.tar", inside.host)
    export(name, tmp_path / "update.tar", known=against([tmp_path / "first.tar"]))
    payload = cosign.referrer_signature(IMAGE, KEY).document.blobs()[1]
    held = {blob.size for blob in catalog_of(tmp_path / "update.tar").held}
    assert payload.size in held
    before = sent(inside)
    for bundle in (tmp_path / "update.tar", (tmp_path / "update.tar").read_bytes()):
        with pytest.raises(UnsignedImagesError):
            bring(bundle, inside.host, require_signature=required(OTHER))
        assert sent(inside) == before
        bring(bundle, inside.host, require_signature=required(KEY))
    with EmbeddedRegistry() as empty:
        with pytest.raises(MissingBaseError):
            bring(tmp_path / "update.tar", empty.host, require_signature=required(KEY))
        assert sent(empty) == []


def test_the_command_line_lists_what_is_not_signed(tmp_path, outside, inside):
    """Each image is named with its reason, for people and as JSON, and the exit code is 21."""
    name = f"{outside.host}/team/app:1.0"
    (tmp_path / "cosign.pub").write_bytes(KEY.public.to_pem())
    demand = ("--require-signature", tmp_path / "cosign.pub")
    export_it = ("export", "images", name, "-o", tmp_path / "b.tar", *demand)
    done = airgap(*export_it)
    assert done.code == 21
    assert done.err.splitlines()[-3:-1] == [
        f"failed: {name}: has no signature",
        "error[unsigned-images]: 1 of 1 images is not signed with cosign.pub: " + name,
    ]
    error = airgap(*export_it, "--json").lines[-1]
    assert (error["code"], error["failed"]) == (
        "unsigned-images",
        [f"{name}: has no signature"],
    )
    assert not (tmp_path / "b.tar").exists()
    sign(outside.repository("team/app"), IMAGE)
    assert airgap(*export_it).code == 0
    assert airgap("import", "bundle", tmp_path / "b.tar", "--to", inside.host, *demand).code == 0
    (tmp_path / "cosign.pub").write_bytes(OTHER.public.to_pem())
    done = airgap("import", "bundle", tmp_path / "b.tar", "--to", inside.host, *demand)
    assert done.code == 21
    assert f"failed: {name}: is signed, but not with cosign.pub" in done.err


@pytest.mark.parametrize("content", [b"", b"no key", KEY.to_pem()])
def test_a_demanded_key_that_is_none_is_refused(tmp_path, outside, content):
    """A file that is no public key demands nothing, and is said before anything is asked."""
    (tmp_path / "cosign.pub").write_bytes(content)
    demand = ("--require-signature", tmp_path / "cosign.pub")
    name = f"{outside.host}/team/app:1.0"
    done = airgap("export", "images", name, "-o", tmp_path / "b.tar", *demand)
    assert_refused(done, 2, "settings", "cosign.pub")
    assert outside.seen == []
