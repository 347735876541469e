"""Signatures of images are demanded of every kind of source and target alike."""

from __future__ import annotations

import pytest

from airgap.errors import BundleFormatError, ConflictError, UnsignedImagesError
from airgap.oci.reference import Reference
from airgap.oci.referrers import fallback_tag
from airgap.server.settings import RegistrySettings
from airgap.transfer.bundle_source import Holdings
from airgap.transfer.destination import Destination
from airgap.transfer.export import export_images
from airgap.transfer.export_options import ExportOptions
from airgap.transfer.gather import Gathering, gather_bundle
from airgap.transfer.image_policy import RequiredKey
from airgap.transfer.publish import ImportOptions
from airgap.transfer.spread import Spreading, spread_images
from tests.support import builders, cosign
from tests.support.bundles import BundleBuilder
from tests.support.differentials import put_blob, told
from tests.support.embedded import EmbeddedRegistry, Status
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
REQUIRED = (RequiredKey("cosign.pub", KEY.public),)
IMAGE = builders.multi_platform()


@pytest.fixture
def outside():
    """A registry with a signed index of two platforms."""
    with EmbeddedRegistry() as registry:
        repository = registry.repository("team/app")
        builders.push(repository, IMAGE, tag="1.0")
        builders.push(repository, cosign.referrer_signature(IMAGE, KEY))
        yield registry


@pytest.mark.parametrize("form", ["referrer", "tag"])
def test_registries_without_the_referrers_api_are_asked_by_tag(tmp_path, form):
    """The fallback tag lists the newer form, cosign's tag is the older one."""
    with EmbeddedRegistry(settings=RegistrySettings(referrers=False)) as registry:
        repository = registry.repository("team/app")
        builders.push(repository, IMAGE, tag="1.0")
        name = f"{registry.host}/team/app:1.0"
        with pytest.raises(UnsignedImagesError):
            export(name, tmp_path / "b.tar", require_signature=REQUIRED)
        if form == "tag":
            tag, made = cosign.tag_signature(IMAGE, KEY)
            builders.push(repository, made, tag=tag)
        else:
            made = cosign.referrer_signature(IMAGE, KEY)
            builders.push(repository, made)
            builders.push(repository, builders.index([made]), tag=fallback_tag(IMAGE.digest))
        export(name, tmp_path / "b.tar", require_signature=REQUIRED)


@pytest.mark.parametrize("referrers", [True, False])
def test_bundles_as_sources_are_looked_into(tmp_path, outside, referrers):
    """What a bundle holds is judged by the signatures that it holds, whether they go on or not."""
    name = f"{outside.host}/team/app:1.0"
    export(name, tmp_path / "signed.tar")
    export(name, tmp_path / "bare.tar", referrers=False)
    options = ExportOptions(require_signature=REQUIRED, referrers=referrers)
    wanted = [Reference.parse(name)]
    with Holdings([tmp_path / "bare.tar"]) as holdings:
        with pytest.raises(UnsignedImagesError):
            export_images(wanted, tmp_path / "again.tar", client=holdings, options=options)
    with Holdings([tmp_path / "signed.tar"]) as holdings:
        export_images(wanted, tmp_path / "again.tar", client=holdings, options=options)
    assert bool(catalog_of(tmp_path / "again.tar").referrers) is referrers


def test_a_signature_that_is_listed_and_gone_does_not_count(tmp_path, outside):
    """The source still names it: the image is not signed, and that is all that is wrong."""
    gone = cosign.referrer_signature(IMAGE, KEY).digest
    outside.fail(Status(404), method="GET", path=f"/manifests/{gone}", times=9)
    with pytest.raises(UnsignedImagesError):
        export(
            f"{outside.host}/team/app:1.0",
            tmp_path / "b.tar",
            referrers=False,
            require_signature=REQUIRED,
        )


def test_several_media_hold_signed_images_only(tmp_path, outside):
    """Nothing is written to the first medium, and nothing is remembered of a refused export."""
    (tmp_path / "usb").mkdir()
    builders.push(outside.repository("team/bare"), builders.image(seed=3), tag="1.0")

    def spread(*names, required=REQUIRED):
        options = ExportOptions(require_signature=required, volume_size=1 << 20)
        with open_client() as client:
            return spread_images(
                [Reference.parse(f"{outside.host}/team/{name}:1.0") for name in names],
                tmp_path / "usb" / "r.tar",
                client=client,
                spreading=Spreading(tmp_path / "state"),
                options=options,
            )

    with pytest.raises(UnsignedImagesError):
        spread("app", "bare")
    assert list((tmp_path / "usb").iterdir()) == []
    assert spread("app").media


def test_an_export_that_goes_on_demands_what_it_demanded_at_first(tmp_path, outside, monkeypatch):
    """What travels was decided at the first medium: a new demand is another export."""
    (tmp_path / "usb").mkdir()
    names = [Reference.parse(f"{outside.host}/team/app:1.0")]

    def begin(required):
        options = ExportOptions(require_signature=required, volume_size=1 << 20)
        with open_client() as client:
            return spread_images(
                names,
                tmp_path / "usb" / "r.tar",
                client=client,
                spreading=Spreading(tmp_path / "state"),
                options=options,
            )

    with monkeypatch.context() as patch:
        patch.setattr("airgap.transfer.spread.check_mounted", _fail)
        with pytest.raises(KeyboardInterrupt):
            begin(())
    with pytest.raises(ConflictError, match="is not done"):
        begin(REQUIRED)


def _fail(*_):
    raise KeyboardInterrupt


def test_what_refers_to_an_image_cannot_take_the_name_of_one(tmp_path):
    """A crafted bundle cannot put an unsigned image under a tag by calling it a referrer."""
    made = BundleBuilder()
    made.add(IMAGE, "registry.example/team/app:1.0")
    made.refer("registry.example/team/app", IMAGE, cosign.referrer_signature(IMAGE, KEY))
    made.refer("registry.example/team/app", IMAGE, builders.image(seed=666), tag="latest")
    path = made.build().write(tmp_path)
    with EmbeddedRegistry() as inside:
        with pytest.raises(BundleFormatError, match="'latest' is no tag of what refers to"):
            bring(path, inside.host, require_signature=REQUIRED)
        assert sent(inside) == []


def test_what_becomes_possible_with_a_later_medium_must_be_signed_too(tmp_path):
    """An image that fails at the first medium is not let in at the next one for that."""
    base = builders.layer(5000, seed=81)
    bare = builders.image(layers=(base,), seed=82)
    big = builders.image(layers=(900_000, 900_000), seed=83)
    made = cosign.referrer_signature(big, KEY)
    out, usb = tmp_path / "out", tmp_path / "usb"
    out.mkdir()
    usb.mkdir()
    pack_into(
        out,
        {"team/bare:1.0": bare, "team/big:1.0": big},
        referrers=[("team/big", made, None)],
        known=told({"team/bare": [base]}),
        volume_size=1 << 20,
    )
    for path in sorted(out.glob("*.tar")):
        if made.blobs[1].data in path.read_bytes():
            path.rename(usb / path.name)
    with EmbeddedRegistry() as inside, open_client() as client:

        def change(_wanted):
            put_blob(inside.repository("team/bare"), base)
            for path in out.glob("*.tar"):
                path.rename(usb / path.name)
            return True

        with pytest.raises(UnsignedImagesError, match=r"team/bare:1\.0"):
            gather_bundle(
                [usb],
                Destination.parse(inside.host),
                client=client,
                gathering=Gathering(tmp_path / "state", change),
                options=ImportOptions(keep_going=True, require_signature=REQUIRED),
            )
        assert inside.repository("team/bare").resolve("1.0") is None


def test_what_was_judged_at_one_medium_is_not_asked_for_at_the_next(tmp_path):
    """The medium with the signatures comes first, and need not be there any more after that."""
    big = builders.image(layers=(900_000, 900_000, 900_000), seed=95)
    made = cosign.referrer_signature(big, KEY)
    out, usb = tmp_path / "out", tmp_path / "usb"
    out.mkdir()
    usb.mkdir()
    pack_into(out, {"team/big:1.0": big}, referrers=[("team/big", made, None)], volume_size=1 << 20)
    volumes = sorted(out.glob("*.tar"), key=lambda p: made.blobs[1].data not in p.read_bytes())
    volumes.pop(0).rename(usb / "first.tar")

    def change(_wanted):
        for path in usb.iterdir():
            path.unlink()
        volumes.pop(0).rename(usb / "next.tar")
        return True

    with EmbeddedRegistry() as inside, open_client() as client:
        gather_bundle(
            [usb],
            Destination.parse(inside.host),
            client=client,
            gathering=Gathering(tmp_path / "state", change),
            options=ImportOptions(require_signature=REQUIRED),
        )
        assert inside.count("GET", "/blobs/") == 0
        assert_holds(inside, "team/big", big, "1.0")
    assert volumes == []
