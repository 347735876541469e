"""Exports whose volumes go to several media, which folders with a size stand for."""

from __future__ import annotations

import random

import pytest

from airgap.bundle.parity import ParityRequest
from airgap.bundle.reader import open_bundle
from airgap.errors import (
    ConflictError,
    IncompleteBundleError,
    SettingsError,
)
from airgap.oci.reference import Reference
from airgap.run import Run
from airgap.run.events import Notice
from airgap.transfer.export import ExportOptions
from airgap.transfer.protect import ProtectOptions
from airgap.transfer.spread import Spreading, spread_images
from airgap.trust.keys import PrivateKey
from airgap.trust.signatures import Signatures
from tests.support import builders, command_line
from tests.support.bundles import unpack
from tests.support.embedded import Status
from tests.support.parity import contents
from tests.support.spreading import (
    CONTENTS,
    assert_all_written,
    by_command,
    change,
    changing,
    connected_side,
    make_site,
    spread_out,
    to_the_end,
    volumes_of,
)
from tests.support.transfers import (
    Recorder,
    assert_holds,
    open_client,
)


def test_volumes_on_several_media_are_those_of_one_export(site, clean):
    """Each medium is filled, read back, and the next is asked for with what is still to come."""
    asked = []

    def ask(wanted):
        asked.append(wanted.missing)
        change(site)
        return True

    recorder = Recorder()
    result = spread_out(site, ask=ask, run=Run(recorder))
    assert result.media == ((1, 2), (3, 4), (5,))
    assert asked == [(3, 4, 5), (5,)]
    told = [event.message for event in recorder.of(Notice) if event.code == "medium"]
    assert told[0] == "volumes 1, 2 of 5 on this medium: synced, read back and whole"
    assert not [event for event in recorder.of(Notice) if event.code == "missing-volume"]
    assert_all_written(site, clean)


def test_a_run_of_its_own_for_each_medium_writes_the_same(site, clean):
    """Each says what is still to be written, and the last one ends well."""
    with pytest.raises(IncompleteBundleError, match="3, 4, 5 of 5 are on no medium"):
        spread_out(site)
    change(site)
    to_the_end(site)
    assert_all_written(site, clean)


def test_what_was_spread_is_imported_medium_by_medium(site, inside):
    """The whole way, in another order."""
    spread_out(site, ask=changing(site))
    change(site)
    media = list(site.shelf)
    random.Random(2).shuffle(media)
    for number, place in enumerate(media):
        done = command_line.airgap(
            "import", "bundle", place, "--to", inside.host, "--state", site.folder / "arriving"
        )
        assert done.code == (23 if number < len(media) - 1 else 0), done.err
    for name, content in CONTENTS.items():
        assert_holds(inside, name, content, "1")


def test_a_blob_is_fetched_once_for_each_medium_that_holds_some_of_it(site, clean, source):
    """However many volumes of the medium it is cut across; nothing is kept between media."""
    large = CONTENTS["app"].blobs[1].descriptor
    assert large.size == max(b.descriptor.size for b in CONTENTS["app"].blobs)
    source.clear()
    result = spread_out(site, ask=changing(site))
    holders = {
        number
        for number, numbers in enumerate(result.media)
        for n in numbers
        if large.digest.hex.encode() in clean[f"r.{n:03d}.tar"][-20_000:]
        or b"airgap/pieces/sha256/" + large.digest.hex.encode() in clean[f"r.{n:03d}.tar"]
    }
    assert source.count("GET", f"/blobs/{large.digest}") == len(holders)
    assert sum(p.stat().st_size for p in site.state.rglob("*") if p.is_file()) < 100_000


def test_a_tag_that_moves_between_media_changes_nothing(site, clean, source):
    """The digests of the first run are fetched, also by a later one."""
    with pytest.raises(IncompleteBundleError):
        spread_out(site)
    change(site)
    repository = source.repository("app")
    builders.push(repository, builders.image(seed=77), tag="1")
    try:
        to_the_end(site)
    finally:
        builders.push(repository, CONTENTS["app"], tag="1")
    assert_all_written(site, clean)


def test_another_export_to_the_same_place_is_told_apart(site):
    """It neither mixes with the one that is not done nor throws it away."""
    with pytest.raises(IncompleteBundleError):
        spread_out(site)
    change(site)
    with pytest.raises(ConflictError, match="another export"):
        spread_out(site, referrers=False)
    to_the_end(site)


def test_all_media_are_signed_by_the_same_keys(site):
    """A key that comes later would be on some of them only, and is refused."""
    key = PrivateKey.generate("ed25519")
    with pytest.raises(IncompleteBundleError):
        spread_out(site, sign=(key,))
    change(site)
    for others in ((), (PrivateKey.generate("ed25519"),)):
        with pytest.raises(ConflictError, match="another export"):
            spread_out(site, sign=others)
    to_the_end(site, sign=(key,))
    for raw in volumes_of(site).values():
        members = unpack(raw)
        signed = Signatures.sign(members["airgap/catalog.json"], [key])
        assert members["airgap/signatures.json"] == signed.to_bytes()


def test_a_bundle_that_fits_one_medium_asks_for_none(site, clean):
    """And leaves no state."""
    site.size = 100_000_000
    result = spread_out(site)
    assert result.media == ((1, 2, 3, 4, 5),)
    assert_all_written(site, clean)


def test_a_full_medium_is_not_written_to(site, clean):
    """The next one takes what it had no room for."""
    (site.usb / "filler").write_bytes(b"x" * 2_000_000)
    asked = []

    def ask(wanted):
        asked.append(wanted.missing)
        for path in site.usb.iterdir():
            if path.name == "filler":
                path.unlink()
                return True
        change(site)
        return True

    recorder = Recorder()
    spread_out(site, ask=ask, run=Run(recorder))
    assert asked[0] == (1, 2, 3, 4, 5)
    assert "has no room for volume 1" in recorder.of(Notice)[0].message
    assert_all_written(site, clean)


def test_who_never_changes_the_medium_is_not_asked_forever(site):
    """After some media that take nothing, the run ends and says what is left."""
    asked = []

    def ask(wanted):
        asked.append(wanted)
        return len(asked) < 20

    with pytest.raises(IncompleteBundleError):
        spread_out(site, ask=ask)
    assert len(asked) == 3


def test_parity_lies_on_each_medium_and_covers_it(site, clean):
    """A volume that is lost on one medium is rebuilt there, from that medium alone."""
    site.size = 3_700_000
    protect = ProtectOptions(parity=ParityRequest.parse("1volume"))
    result = spread_out(site, ask=changing(site), protect=protect)
    change(site)
    assert len(result.media) == 3
    for medium in result.written:
        assert medium.beside is not None
        assert medium.beside.files
    for place in site.shelf:
        assert sum(path.stat().st_size for path in place.iterdir()) <= site.size
    lost = site.shelf[0] / "r.001.tar"
    lost.unlink()
    done = command_line.airgap("repair", "bundle", site.shelf[0])
    assert lost.exists(), done.err
    assert lost.read_bytes() == clean["r.001.tar"]


def test_the_command_goes_on_from_medium_to_medium(site, clean, tmp_path):
    """The command for the next medium is told what is to be written, and the result says where."""
    done = by_command(
        site,
        f'echo "$AIRGAP_MISSING_VOLUMES" >> {tmp_path}/asked\n'
        f"mkdir -p {tmp_path}/shelf && mv {site.usb}/* {tmp_path}/shelf\n",
    )
    assert done.code == 0, done.err
    assert "medium 2: volumes 3, 4" in done.out
    assert "in 5 volumes on 3 media" in done.out
    assert (tmp_path / "asked").read_text() == "3 4 5\n5\n"
    assert contents(tmp_path / "shelf") | contents(site.usb) == clean


def test_json_names_the_medium_that_is_wanted(site):
    """Whoever reads the events changes the medium and answers with a line; its end ends the run."""
    names = [f"{site.source.host}/{name}:1" for name in CONTENTS]
    arguments = ["export", "images", *names, "-o", site.usb / "r.tar", "--spread", "--json"]
    done = command_line.airgap(*arguments, "--volume-size", "1MiB", "--state", site.state)
    assert done.code == 23
    wanted = [line for line in done.lines if line["type"] == "medium-wanted"]
    assert [line["missing"] for line in wanted] == [[3, 4, 5]]
    assert done.lines[-1]["missing"] == ["volume 3", "volume 4", "volume 5"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("-o", "r.tar", "--spread"),
        ("-o", "-", "--spread", "--volume-size", "1MiB"),
        ("-o", "r.tar", "--next-command", "true"),
        ("-o", "r.tar", "--state", "x"),
        ("-o", "r.tar", "--spread", "--volume-size", "1MiB", "--next-command", " "),
    ],
)
def test_options_that_make_no_sense_together_are_refused(site, arguments):
    """Before anything is asked of a registry."""
    site.source.clear()
    done = command_line.airgap("export", "images", f"{site.source.host}/app:1", *arguments)
    assert done.code == 2
    assert not site.source.seen


def test_what_the_source_lacks_is_left_out_before_the_first_medium(tmp_path, monkeypatch):
    """The catalog is on the first medium, so it cannot wait until the blob is fetched."""
    lacked = CONTENTS["tool"].blobs[1].descriptor
    with connected_side() as lacking:
        lacking.fail(Status(404), path=f"/blobs/{lacked.digest}", times=1000)
        site = make_site(lacking, tmp_path, monkeypatch)
        spread_out(site, ask=changing(site), allow_missing_at_source=True)
    change(site)
    with open_bundle(site.shelf) as reader:
        assert lacked.digest not in dict(reader.catalog.blobs)
        assert lacked.digest in reader.catalog.omissions()


def test_spreading_needs_a_volume_size(site):
    """One file cannot be shared out."""
    with pytest.raises(SettingsError, match="--volume-size"), open_client() as client:
        spread_images(
            [Reference.parse(f"{site.source.host}/app:1")],
            site.usb / "r.tar",
            client=client,
            spreading=Spreading(site.state),
            options=ExportOptions(),
        )
