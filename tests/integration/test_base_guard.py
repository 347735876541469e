"""The base guard: what a bundle leaves to a registry is asked for before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyrage
import pytest

from airgap.content.age import Identities, Recipients
from airgap.errors import IncompleteBundleError, IntegrityError, MissingBaseError
from airgap.oci.reference import Reference
from airgap.record.bases import Base
from airgap.run import Run
from airgap.server.settings import RegistrySettings
from airgap.transfer.decrypted import EncryptedBundle
from airgap.transfer.destination import Destination
from airgap.transfer.encrypted import Encryption
from airgap.transfer.export import ExportOptions, export_images
from airgap.transfer.gather import Gathering, gather_bundle
from airgap.transfer.known import Claim
from airgap.transfer.outcome import ImportResult
from airgap.transfer.publish import ImportOptions, import_bundle
from tests.support import builders
from tests.support.builders import Content
from tests.support.differentials import against, pack_against, put_blob, told
from tests.support.embedded import EmbeddedRegistry, Status
from tests.support.known import witness
from tests.support.receipts import digest_of
from tests.support.transfers import (
    assert_holds,
    bring,
    catalog_of,
    export,
    open_client,
    pack_into,
    sent,
)

BASE = builders.layer(300_000, seed=1)
TOP = builders.layer(2000, seed=2)
APP = builders.image(layers=(BASE, TOP), seed=1)
WEB = builders.image(layers=(builders.layer(3000, seed=3),), seed=2)
KEY = pyrage.x25519.Identity.generate()
Bring = Callable[[Path, EmbeddedRegistry, Path], ImportResult]


def by_file(path: Path, inside: EmbeddedRegistry, _folder: Path, **options: Any) -> ImportResult:
    return bring(path, inside.host, **options)


def by_pipe(path: Path, inside: EmbeddedRegistry, _folder: Path, **options: Any) -> ImportResult:
    return bring(path.read_bytes(), inside.host, **options)


def by_media(path: Path, inside: EmbeddedRegistry, folder: Path, **options: Any) -> ImportResult:
    with open_client() as client:
        return gather_bundle(
            [path],
            Destination.parse(inside.host),
            client=client,
            gathering=Gathering(folder / "state"),
            options=ImportOptions(**options),
        )


ways = pytest.mark.parametrize("way", [by_file, by_pipe, by_media])


@pytest.fixture(name="update")
def update_bundle(tmp_path: Path) -> Path:
    """A bundle of an image whose base layer is said to be held in its own repository."""
    return pack_against(tmp_path, {"app:1": APP}, {"app": [BASE]})


@ways
def test_what_is_held_is_not_sent(update, inside, tmp_path, way):
    """Where the image's repository has the layer, the rest completes the image."""
    put_blob(inside.repository("app"), BASE)
    result = way(update, inside, tmp_path)
    assert_holds(inside, "app", APP, "1")
    assert result.blobs_present == 1
    assert result.bytes_pushed < 5000
    assert inside.count("PUT", re.escape(str(BASE.descriptor.digest))) == 0
    assert inside.count("HEAD", f"/v2/app/blobs/{re.escape(str(BASE.descriptor.digest))}") == 1


@ways
@pytest.mark.parametrize("dry_run", [False, True])
def test_an_empty_registry_is_left_empty_and_what_it_lacks_is_named(
    update, inside, tmp_path, way, dry_run
):
    """Where the base is missing nothing is written, and images, blobs and commands are named."""
    with pytest.raises(MissingBaseError) as caught:
        way(update, inside, tmp_path, dry_run=dry_run, naming=("--missing-for", "update.tar"))
    error = caught.value
    assert error.exit_code == 23
    assert error.missing == (str(BASE.descriptor.digest),)
    [line] = error.failed
    assert "/app:1 lacks 1 blob (" in line
    assert str(BASE.descriptor.digest) in line
    assert "\n" not in error.message
    assert error.hint is not None
    wanted = f"`airgap export inventory --from {inside.host} --missing-for update.tar -o need"
    assert wanted in error.hint
    assert "`airgap export images --exactly need.inventory" in error.hint
    assert inside.count("HEAD", re.escape(str(BASE.descriptor.digest))) == 1
    assert sent(inside) == []
    assert list(inside.depot.repositories()) == []


def test_an_encrypted_bundle_is_guarded_before_anything_is_sent(outside, inside, tmp_path):
    """What only the right key can read asks for its base as every bundle does."""
    builders.push(outside.repository("app"), APP, tag="1")
    options = ExportOptions(
        encrypt=Encryption(Recipients((str(KEY.to_public()),))), known=told({"app": [BASE]})
    )
    path, to = tmp_path / "r.tar", Destination.parse(inside.host)
    name = Reference.parse(f"{outside.host}/app:1")

    def bring_it() -> None:
        keys = Identities((str(KEY),))
        with (
            open_client() as client,
            EncryptedBundle([tmp_path / "r.tar.age"], keys, run=Run()) as bundle,
        ):
            import_bundle(bundle, to, client=client)

    with open_client() as client:
        export_images([name], path, client=client, options=options)
    with pytest.raises(MissingBaseError):
        bring_it()
    assert sent(inside) == []
    put_blob(inside.repository("app"), BASE)
    bring_it()
    assert_holds(inside, "app", APP, "1")


@ways
def test_a_blob_of_another_repository_is_mounted(inside, tmp_path, way):
    """The layer is taken over from where the bundle says that it is held."""
    put_blob(inside.repository("team/os"), BASE)
    path = pack_against(tmp_path, {"app:1": APP}, {"team/os": [BASE]})
    result = way(path, inside, tmp_path)
    assert_holds(inside, "app", APP, "1")
    assert (result.blobs_mounted, result.blobs_copied) == (1, 0)
    assert inside.count("GET", "/blobs/") == 0


@ways
def test_a_blob_is_copied_through_the_client_where_mounts_are_refused(tmp_path, way):
    """A registry that does not mount gets the layer from itself, verified on the way."""
    path = pack_against(tmp_path, {"app:1": APP}, {"team/os": [BASE]})
    with EmbeddedRegistry(settings=RegistrySettings(mounts=False)) as inside:
        put_blob(inside.repository("team/os"), BASE)
        result = way(path, inside, tmp_path)
        assert_holds(inside, "app", APP, "1")
        assert (result.blobs_mounted, result.blobs_copied) == (0, 1)
        assert inside.count("GET", "/v2/team/os/blobs/") == 1


def test_a_damaged_blob_is_not_copied(tmp_path):
    """What another repository gives is verified: other bytes are not committed, nothing tagged."""
    path = pack_against(tmp_path, {"app:1": APP}, {"team/os": [BASE]})
    with EmbeddedRegistry(settings=RegistrySettings(mounts=False)) as inside:
        put_blob(inside.repository("team/os"), BASE)
        wrong = bytes(BASE.descriptor.size)
        inside.fail(Status(200, body=wrong), method="GET", path="/v2/team/os/blobs/", times=9)
        with pytest.raises(IntegrityError) as caught:
            bring(path, inside.host)
        assert caught.value.origin == "destination"
        assert "team/os is damaged" in (caught.value.hint or "")
        assert not inside.repository("app").has_blob(BASE.descriptor)
        assert inside.repository("app").resolve("1") is None


def test_a_blob_that_goes_away_between_question_and_copy_is_missed(tmp_path):
    """What was there when it was asked for and then is not ends the import as incomplete."""
    path = pack_against(tmp_path, {"app:1": APP}, {"team/os": [BASE]})
    with EmbeddedRegistry(settings=RegistrySettings(mounts=False)) as inside:
        put_blob(inside.repository("team/os"), BASE)
        gone = Status(404, body=b'{"errors":[{"code":"BLOB_UNKNOWN","message":"gone"}]}')
        inside.fail(gone, method="GET", path="/v2/team/os/blobs/", times=9)
        with pytest.raises(IncompleteBundleError) as caught:
            bring(path, inside.host)
        assert caught.value.missing == (str(BASE.descriptor.digest),)
        assert inside.repository("app").resolve("1") is None


def test_mount_from_finds_what_lies_elsewhere(update, inside):
    """A repository that the bundle does not know is looked into when it is named."""
    put_blob(inside.repository("mirror/debian"), BASE)
    with pytest.raises(MissingBaseError):
        bring(update, inside.host)
    with pytest.raises(MissingBaseError) as caught:
        bring(update, inside.host, mount_from=("mirror/alpine",))
    assert "--mount-from mirror/alpine -o" in (caught.value.hint or "")
    for order in (("mirror/alpine", "mirror/debian"), ("mirror/debian", "mirror/alpine")):
        result = bring(update, inside.host, mount_from=order, dry_run=True)
        assert result.blobs_mounted == 1
    result = bring(update, inside.host, mount_from=order)
    assert result.blobs_mounted == 1
    assert_holds(inside, "app", APP, "1")


def test_a_repository_that_may_not_be_read_has_nothing(update, inside):
    """Where a hint leads to a closed repository, the blob counts as missing and nothing is sent."""
    put_blob(inside.repository("secret/os"), BASE)
    denied = Status(403, body=b'{"errors":[{"code":"DENIED","message":"no"}]}')
    inside.fail(denied, path="/v2/secret/os/", times=99)
    with pytest.raises(MissingBaseError):
        bring(update, inside.host, mount_from=("secret/os",))
    assert sent(inside) == []


def test_repositories_that_share_a_held_blob_are_each_asked_once(inside, tmp_path):
    """One that has it serves the others; no question is put twice."""
    contents = {f"r{n}:1": builders.image(layers=(BASE,), seed=10 + n) for n in range(4)}
    path = pack_against(tmp_path, contents, {"r2": [BASE]})
    put_blob(inside.repository("r2"), BASE)
    result = bring(path, inside.host)
    assert result.blobs_mounted == 3
    for name, content in contents.items():
        assert_holds(inside, name.partition(":")[0], content, "1")
    asked = inside.matching("HEAD", re.escape(str(BASE.descriptor.digest)))
    assert len(asked) == len({str(seen) for seen in asked}) == 4


@ways
def test_whole_images_go_on_with_keep_going(inside, tmp_path, way):
    """What has all that it needs is pushed; what lacks something fails, and nothing of it comes."""
    path = pack_against(tmp_path, {"app:1": APP, "web:1": WEB}, {"app": [BASE]})
    result = way(path, inside, tmp_path, keep_going=True)
    assert [image.outcome for image in result.images] == ["failed", "pushed"]
    [failure] = result.failed
    assert isinstance(failure.error, MissingBaseError)
    assert failure.error.missing == (str(BASE.descriptor.digest),)
    assert_holds(inside, "web", WEB, "1")
    assert list(inside.depot.repositories()) == ["web"]


def test_nothing_is_taken_over_for_an_image_that_lacks_something_else(inside, tmp_path):
    """What lies elsewhere does not come into the repository of an image that is not completed."""
    put_blob(inside.repository("team/os"), TOP)
    path = pack_against(tmp_path, {"app:1": APP, "web:1": WEB}, {"app": [BASE], "team/os": [TOP]})
    result = bring(path, inside.host, keep_going=True)
    assert [image.outcome for image in result.images] == ["failed", "pushed"]
    assert result.blobs_mounted == 0
    assert not inside.repository("app").has_blob(TOP.descriptor)
    assert sorted(inside.depot.repositories()) == ["team/os", "web"]


def test_an_image_waits_only_for_what_the_bundle_is_a_supplement_of(inside, tmp_path):
    """What another base should have, and has not, is missing, whatever comes with the need."""
    need, claim = Base("need", catalog_id := digest_of("update"), inside.host), Claim(None)
    only_top = {TOP.descriptor.digest: claim}
    also = told({"app": [BASE]}).including([witness(need, only_top)])
    path = pack_into(tmp_path, {"app:1": APP, "web:1": WEB}, known=also)
    assert {base.kind for base in catalog_of(path).bases} == {"inventory", "need"}
    with pytest.raises(MissingBaseError) as caught:
        bring(path, inside.host)
    assert str(BASE.descriptor.digest) in caught.value.missing
    assert sent(inside) == []
    put_blob(inside.repository("app"), BASE)
    result = bring(path, inside.host)
    assert [image.outcome for image in result.images] == ["waiting", "pushed"]
    assert str(catalog_id) in " ".join(result.notes)


def test_a_dry_run_counts_what_it_would_mount(inside, tmp_path):
    """A dry run asks the same questions, and changes nothing."""
    put_blob(inside.repository("team/os"), BASE)
    path = pack_against(tmp_path, {"app:1": APP}, {"team/os": [BASE]})
    result = bring(path, inside.host, dry_run=True)
    assert (result.blobs_mounted, result.blobs_pushed) == (1, 2)
    assert [image.outcome for image in result.images] == ["planned"]
    assert sent(inside) == []


def test_blobs_that_were_collected_meanwhile_are_missed(update, inside):
    """A registry that had the base when it was asked for, and lost it since, is found out."""
    repository = inside.repository("app")
    put_blob(repository, BASE)
    repository.delete_blob(BASE.descriptor.digest)
    with pytest.raises(MissingBaseError):
        bring(update, inside.host)
    assert sent(inside) == []


def test_an_inventory_that_lied_is_found_out(inside, tmp_path):
    """Who says that a registry has everything gets a bundle of nothing, which is refused."""
    everything = {"app": [*APP.blobs], "web": [*WEB.blobs]}
    path = pack_against(tmp_path, {"app:1": APP, "web:1": WEB}, everything)
    assert catalog_of(path).blobs == ()
    with pytest.raises(MissingBaseError) as caught:
        bring(path, inside.host)
    assert len(caught.value.failed) == 2
    assert len(caught.value.missing) == len(APP.blobs) + len(WEB.blobs)
    assert sent(inside) == []


def release(outside: EmbeddedRegistry, number: int, layers: list[Any]) -> tuple[str, Content]:
    content = builders.image(layers=layers, seed=20 + number)
    builders.push(outside.repository("app"), content, tag=str(number))
    return f"{outside.host}/app:{number}", content


@pytest.mark.parametrize("options", [{}, {"keep_host": True}])
def test_a_bundle_of_a_chain_that_was_left_out_is_noticed(outside, inside, tmp_path, options):
    """Importing 3 before 2 names what only 2 brings; in order all arrive, and twice is harmless."""
    layers = [builders.layer(1000 + n, seed=30 + n) for n in range(3)]
    paths, contents, to = [], [], f"{inside.host}/mirror"
    for number in (1, 2, 3):
        name, content = release(outside, number, layers[:number])
        paths.append(tmp_path / f"{number}.tar")
        export([name], paths[-1], known=against(paths[:-1]))
        contents.append(content)
    bring(paths[0], to, **options)
    inside.clear()
    with pytest.raises(MissingBaseError) as caught:
        bring(paths[2], to, **options)
    assert caught.value.missing == (str(layers[1].descriptor.digest),)
    assert sent(inside) == []
    bring(paths[1], to, **options)
    bring(paths[2], to, **options)
    host = outside.host.replace(":", "-") if options else ""
    name = "/".join(part for part in ("mirror", host, "app") if part)
    for number, content in enumerate(contents, 1):
        assert_holds(inside, name, content, str(number))
    inside.clear()
    again = bring(paths[1], to, **options)
    assert [image.outcome for image in again.images] == ["present"]
    assert sent(inside) == []


def test_volumes_that_bring_a_blob_are_not_asked_of_the_registry(outside, inside, tmp_path):
    """What another volume brings is no base: the first medium waits for it, and does not fail."""
    builders.push(
        outside.repository("app"),
        big := builders.image(layers=(BASE, 900_000, 900_000), seed=40),
        tag="1",
    )
    put_blob(inside.repository("app"), BASE)
    folder = tmp_path / "volumes"
    folder.mkdir()
    export(
        f"{outside.host}/app:1", folder / "b.tar", volume_size=1_100_000,
        known=told({"app": [BASE]}),
    )  # fmt: skip
    first, *others = sorted(folder.iterdir())
    with pytest.raises(IncompleteBundleError) as caught:
        by_media(first, inside, tmp_path)
    assert all(text.startswith("volume ") for text in caught.value.missing)
    for path in others:
        try:
            by_media(path, inside, tmp_path)
        except IncompleteBundleError:
            assert path != others[-1]
    assert_holds(inside, "app", big, "1")
