"""Bundles are split, merged and selected from without a registry, byte for byte as exported."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

from airgap.bundle.reader import open_bundle
from airgap.errors import (
    CancelledError,
    ConflictError,
    ContentNotFoundError,
    ExitCode,
    IncompleteBundleError,
    IntegrityError,
    SettingsError,
)
from airgap.oci.platform import Platform
from airgap.oci.reference import Reference
from airgap.transfer.bundle_source import Holdings
from airgap.transfer.export import plan_export
from tests.support import builders
from tests.support.command_line import airgap, assert_refused
from tests.support.embedded import Status
from tests.support.layouts import lay_out
from tests.support.transfers import Run, assert_sound, cancelling, catalog_of, export

HOWTO = Path(__file__).parents[2] / "docs/howto/split-merge.md"
AMD64 = Platform("linux", "amd64")


def again(sources, output, names=None, **options):
    """Export out of bundles; all images where none are named."""
    with Holdings(sources) as holdings:
        chosen = [str(r) for r in holdings.references()] if names is None else names
        return export(chosen, output, client=holdings, **options)


@pytest.fixture
def team(outside):
    """A signed index, an image of its own, a chart and what is foreign, by name."""
    repository = outside.repository("team/app")
    multi = builders.push(repository, builders.multi_platform(), tag="1.0")
    sbom = builders.push(repository, builders.sbom(multi.children[0].descriptor))
    builders.push(
        repository, builders.artifact("application/vnd.example.sig", subject=sbom.descriptor)
    )
    tag, cosign = builders.cosign_signature(multi.descriptor)
    builders.push(repository, cosign, tag=tag)
    tool = builders.image(layers=(1_500_000,), seed=3)
    builders.push(outside.repository("team/tool"), tool, tag="2")
    builders.push(outside.repository("charts/demo"), builders.chart(), tag="1.2.3")
    foreign = builders.foreign_layer("http://127.0.0.1:1/layer")
    windows = builders.image(layers=(foreign, 900), platform=builders.WINDOWS, seed=8)
    builders.push(outside.repository("team/win"), windows, tag="1")
    names = ("team/app:1.0", "team/tool:2", "charts/demo:1.2.3", "team/win:1")
    return [f"{outside.host}/{name}" for name in names]


def test_a_whole_bundle_comes_out_byte_for_byte(outside, team, tmp_path):
    """Referrers, cosign's tags and what was left out stand in the copy as in the original."""
    export(team, tmp_path / "a.tar")
    outside.clear()
    result = again([tmp_path / "a.tar"], tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_bytes() == (tmp_path / "a.tar").read_bytes()
    assert {o.reason for o in result.plan.omitted} == {"non-distributable"}
    assert len(catalog_of(tmp_path / "b.tar").referrers) == 3
    assert list(outside.seen) == []


@pytest.mark.parametrize(
    "options",
    [
        {"platforms": (AMD64,)},
        {"load_platform": Platform("linux", "arm64")},
        {"referrers": False},
    ],
)
def test_what_options_made_of_a_bundle_stays_so(outside, team, tmp_path, options):
    """Without the options of the first export, the second gives the same bytes."""
    names = team[:3]
    export(names, tmp_path / "a.tar", **options)
    again([tmp_path / "a.tar"], tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_bytes() == (tmp_path / "a.tar").read_bytes()
    again([tmp_path / "a.tar"], tmp_path / "c.tar", **options)
    assert (tmp_path / "c.tar").read_bytes() == (tmp_path / "a.tar").read_bytes()


def test_what_the_source_lacked_stays_listed(outside, tmp_path):
    """A lost layer and a dead referrer keep their reason and their parents."""
    repository = outside.repository("app")
    image = builders.push(repository, builders.image(layers=(4000, 70_000)), tag="1")
    sbom = builders.push(repository, builders.sbom(image.descriptor))
    path = rf"/manifests/{re.escape(str(sbom.digest))}"
    outside.fail(Status(404), path=path, times=100)
    repository.delete_blob(image.blobs[1].descriptor.digest)
    export(f"{outside.host}/app:1", tmp_path / "a.tar", allow_missing_at_source=True)
    again([tmp_path / "a.tar"], tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_bytes() == (tmp_path / "a.tar").read_bytes()
    omitted = {o.descriptor.digest: o.reason for o in catalog_of(tmp_path / "b.tar").omitted}
    missing = "missing-at-source"
    assert omitted == {sbom.digest: missing, image.blobs[1].descriptor.digest: missing}


def test_a_selection_is_what_a_direct_export_of_it_gives(team, tmp_path):
    """Images and platforms chosen later give the bytes that choosing them at once gives."""
    export(team, tmp_path / "all.tar")
    for number, (names, options) in enumerate(
        [(team[:1], {}), (team[1:3], {}), (team[:3], {"platforms": (AMD64,)}), (team[3:], {})]
    ):
        direct, chosen = tmp_path / f"d{number}.tar", tmp_path / f"c{number}.tar"
        export(names, direct, **options)
        again([tmp_path / "all.tar"], chosen, names, **options)
        assert chosen.read_bytes() == direct.read_bytes()


def test_merged_bundles_are_what_a_direct_export_of_all_gives(team, tmp_path):
    """The order of the bundles, and images that lie in both, make no difference."""
    export(team[:2], tmp_path / "one.tar")
    export(team[1:], tmp_path / "two.tar")
    export(team, tmp_path / "all.tar")
    parts = [tmp_path / "two.tar", tmp_path / "one.tar"]
    again(parts, tmp_path / "merged.tar")
    assert (tmp_path / "merged.tar").read_bytes() == (tmp_path / "all.tar").read_bytes()


def test_volumes_out_of_a_bundle_are_those_of_a_direct_export(team, tmp_path):
    """A bundle in one file is cut for smaller media later, as if it had been at once."""
    export(team, tmp_path / "all.tar")
    for folder in ("direct", "later"):
        (tmp_path / folder).mkdir()
    export(team, tmp_path / "direct/r.tar", volume_size=1 << 20)
    again([tmp_path / "all.tar"], tmp_path / "later/r.tar", team, volume_size=1 << 20)
    direct = {path.name: path.read_bytes() for path in (tmp_path / "direct").iterdir()}
    later = {path.name: path.read_bytes() for path in (tmp_path / "later").iterdir()}
    assert len(direct) > 1
    assert later == direct


@pytest.mark.parametrize("given", ["folder", "one by one"])
def test_volumes_are_a_source_as_one_file_is(team, tmp_path, given):
    """By their folder, or each by its name in any order."""
    folder = tmp_path / "volumes"
    folder.mkdir()
    export(team, tmp_path / "all.tar")
    export(team, folder / "r.tar", volume_size=1 << 20)
    paths = [folder] if given == "folder" else sorted(folder.iterdir(), reverse=True)
    again(paths, tmp_path / "merged.tar")
    assert (tmp_path / "merged.tar").read_bytes() == (tmp_path / "all.tar").read_bytes()


def test_what_one_bundle_left_out_another_brings(team, tmp_path):
    """A bundle for one platform and the one for the other make the whole image."""
    for platform in ("linux/amd64", "linux/arm64"):
        chosen = (Platform.parse(platform),)
        export(team[:1], tmp_path / f"{platform[6:]}.tar", platforms=chosen)
    export(
        team[:1],
        tmp_path / "all.tar",
        platforms=tuple(map(Platform.parse, ("linux/amd64", "linux/arm64"))),
    )
    again([tmp_path / "arm64.tar", tmp_path / "amd64.tar"], tmp_path / "merged.tar")
    assert (tmp_path / "merged.tar").read_bytes() == (tmp_path / "all.tar").read_bytes()


def test_a_platform_that_a_bundle_left_out_is_not_there(team, tmp_path):
    """The message names what the bundle has, and not what it lacks."""
    export(team[:1], tmp_path / "a.tar", platforms=(AMD64,))
    with pytest.raises(ContentNotFoundError, match=r"it has [^ ]*linux/amd64") as raised:
        again([tmp_path / "a.tar"], tmp_path / "b.tar", platforms=(builders.ARM64,))
    assert "arm64" not in raised.value.message.partition("it has")[2]


def test_a_tag_with_two_meanings_is_a_conflict(outside, tmp_path):
    """Both bundles are named; a digest says which is meant."""
    name = f"{outside.host}/app:1"
    made = {}
    for number in (1, 2):
        made[number] = builders.push(
            outside.repository("app"), builders.image(seed=number), tag="1"
        )
        export(name, tmp_path / f"{number}.tar")
    parts = [tmp_path / "1.tar", tmp_path / "2.tar"]
    with pytest.raises(ConflictError) as raised:
        again(parts, tmp_path / "b.tar")
    assert raised.value.exit_code == ExitCode.CONFLICT
    assert all(str(part) in raised.value.message for part in parts)
    again(parts, tmp_path / "b.tar", [f"{name}@{made[2].digest}"])
    assert (tmp_path / "b.tar").read_bytes() == parts[1].read_bytes()


def test_an_unknown_name_is_named_or_left_out(team, outside, tmp_path):
    """Where nothing has it, the sources are named; with keep-going the rest travels."""
    export(team[1:2], tmp_path / "a.tar")
    unknown = f"{outside.host}/team/none:1"
    with pytest.raises(ContentNotFoundError, match=r"a\.tar") as raised:
        again([tmp_path / "a.tar"], tmp_path / "b.tar", [unknown, team[1]])
    assert raised.value.origin == "source"
    result = again([tmp_path / "a.tar"], tmp_path / "b.tar", [unknown, team[1]], keep_going=True)
    assert [failure.name for failure in result.failed] == [unknown]
    assert (tmp_path / "b.tar").read_bytes() == (tmp_path / "a.tar").read_bytes()


def damage(path, content):
    """Flip a bit in a blob of a bundle."""
    with open_bundle(path) as reader:
        offset = reader.parts(content.blobs[1].descriptor.digest)[0][1].offset
    data = bytearray(path.read_bytes())
    data[offset + 5] ^= 1
    path.write_bytes(data)


def test_a_damaged_bundle_is_named(outside, image, name, tmp_path):
    """Wrong bytes are found as they pass: no bundle appears, and the source is to blame."""
    builders.push(outside.repository("other"), builders.image(seed=3), tag="1")
    export([name, f"{outside.host}/other:1"], tmp_path / "a.tar")
    damage(tmp_path / "a.tar", image)
    with pytest.raises(IntegrityError, match=r"a\.tar") as raised:
        again([tmp_path / "a.tar"], tmp_path / "b.tar")
    assert raised.value.origin == "source"
    assert not (tmp_path / "b.tar").exists()
    result = again([tmp_path / "a.tar"], tmp_path / "b.tar", keep_going=True)
    assert [failure.name for failure in result.failed] == [name]
    assert_sound(tmp_path / "b.tar")


def test_a_medium_that_goes_away_is_the_source(name, tmp_path):
    """A bundle that is cut short while it is open ends the run, and is named."""
    export(name, tmp_path / "a.tar")
    with Holdings([tmp_path / "a.tar"]) as holdings:
        os.truncate(tmp_path / "a.tar", 100_000)
        with pytest.raises(IncompleteBundleError, match=r"a\.tar") as raised:
            export(name, tmp_path / "b.tar", client=holdings)
    assert raised.value.origin == "source"
    assert not (tmp_path / "b.tar").exists()


def test_a_bundle_may_be_written_over_itself(team, tmp_path):
    """The source stays whole until the new file is."""
    export(team, tmp_path / "a.tar")
    export(team[:1], tmp_path / "direct.tar")
    again([tmp_path / "a.tar"], tmp_path / "a.tar", team[:1], overwrite=True)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "direct.tar").read_bytes()


def test_layers_of_others_travel_on_where_a_bundle_has_them(outside, tmp_path):
    """What was taken with --non-distributable stays; what was not is not fetched now."""
    layer = builders.foreign_layer("http://127.0.0.1:1/layer")
    repository = outside.repository("win")
    builders.push(repository, builders.image(layers=(layer, 900)), tag="1")
    builders.push_blob(repository, layer)
    name, whole, less = f"{outside.host}/win:1", tmp_path / "with.tar", tmp_path / "less.tar"
    export(name, whole, non_distributable=True)
    export(name, less)
    again([less], tmp_path / "c.tar", non_distributable=True)
    assert (tmp_path / "c.tar").read_bytes() == less.read_bytes()
    again([less, whole], tmp_path / "d.tar")
    assert (tmp_path / "d.tar").read_bytes() == whole.read_bytes()


def test_a_bundle_that_cannot_be_opened_is_the_source(tmp_path, name):
    """A file that is cut short is refused before anything is written."""
    export(name, tmp_path / "a.tar")
    data = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(data[:-2048])
    with pytest.raises(IncompleteBundleError, match=r"a\.tar") as raised:
        Holdings([tmp_path / "a.tar"])
    assert raised.value.origin == "source"


def test_an_interrupted_export_goes_on(team, tmp_path):
    """What was copied is not copied again, and the bytes are those of an undisturbed run."""
    export(team, tmp_path / "a.tar")
    run, _ = cancelling(40)
    with Holdings([tmp_path / "a.tar"]) as holdings:
        with pytest.raises(CancelledError):
            export(team, tmp_path / "b.tar", client=holdings, run=run, jobs=1)
    again([tmp_path / "a.tar"], tmp_path / "b.tar", team)
    assert (tmp_path / "b.tar").read_bytes() == (tmp_path / "a.tar").read_bytes()


def test_a_plan_writes_nothing(team, tmp_path):
    """A dry run tells the id of the bundle that would be made."""
    export(team, tmp_path / "a.tar")
    with Holdings([tmp_path / "a.tar"]) as holdings:
        plan = plan_export(
            [Reference.parse(name) for name in team], tmp_path / "b.tar", client=holdings, run=Run()
        )
    assert plan.bundle_id == catalog_of(tmp_path / "a.tar").id
    assert not (tmp_path / "b.tar").exists()


def test_an_image_layout_is_a_source(outside, tmp_path):
    """A folder that another tool wrote gives the bundle that a registry with the same gives."""
    multi = builders.push(outside.repository("app"), builders.multi_platform(), tag="1")
    sbom = builders.push(outside.repository("app"), builders.sbom(multi.descriptor))
    tag, cosign = builders.cosign_signature(multi.descriptor)
    builders.push(outside.repository("app"), cosign, tag=tag)
    name = f"{outside.host}/app:1"
    export(name, tmp_path / "a.tar")
    signed = f"{outside.host}/app:{tag}"
    folder = lay_out(tmp_path / "layout", (multi, name), (sbom, None), (cosign, signed))
    again([folder], tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_bytes() == (tmp_path / "a.tar").read_bytes()


@pytest.mark.parametrize("name", ["1.0", "latest", "app:1", None])
def test_a_layout_without_full_names_is_refused(tmp_path, name):
    """A tag alone says nothing of where an image belongs."""
    folder = lay_out(tmp_path / "layout", (builders.image(), name))
    with pytest.raises(SettingsError, match="name") as raised:
        Holdings([folder])
    assert "full name" in (raised.value.hint or "")


def test_a_damaged_layout_is_named(tmp_path):
    """A manifest and a layer with wrong bytes are found, each before a bundle appears."""
    content, name = builders.image(), "registry.example/app:1"
    folder = lay_out(tmp_path / "layout", (content, name))
    layer = folder / "blobs/sha256" / content.blobs[1].descriptor.digest.hex
    layer.write_bytes(bytes(len(content.blobs[1].data)))
    with pytest.raises(IntegrityError, match="layout") as raised:
        again([folder], tmp_path / "b.tar")
    assert raised.value.origin == "source"
    manifest = folder / "blobs/sha256" / content.digest.hex
    manifest.write_bytes(bytes(len(content.raw)))
    with pytest.raises(IntegrityError, match="layout"):
        Holdings([folder])


def test_the_command_takes_names_globs_and_all(team, tmp_path):
    """Without a name all images travel; with --json the result tells the id."""
    export(team, tmp_path / "a.tar")
    done = airgap(
        "export", "images", "--from", tmp_path / "a.tar", "-o", tmp_path / "b.tar", "--json"
    )
    assert done.code == 0, done.err
    assert done.lines[-1]["plan"]["bundle_id"] == str(catalog_of(tmp_path / "a.tar").id)
    chosen = ("--only", "**/team/*", "--from", tmp_path / "a.tar", "-o", tmp_path / "c.tar")
    assert airgap("export", "images", *chosen).code == 0
    export([team[0], team[1], team[3]], tmp_path / "d.tar")
    assert (tmp_path / "c.tar").read_bytes() == (tmp_path / "d.tar").read_bytes()


def test_the_command_refuses_globs_without_a_source(tmp_path):
    """--only has nothing to choose from then, and a glob that matches nothing is an error."""
    done = airgap("export", "images", "--only", "x", "-o", tmp_path / "b.tar", "app")
    assert_refused(done, 2, "settings", "--only", "--from")


def test_the_guide_does_what_it_says(tmp_path, monkeypatch):
    """Each command of the guide works on bundles with the names that it uses."""
    monkeypatch.chdir(tmp_path)
    one = lay_out(
        tmp_path / "layout",
        (builders.multi_platform(), "registry.example/team/app:1.0"),
        (builders.image(seed=3), "registry.example/team/tool:2"),
    )
    two = lay_out(tmp_path / "more", (builders.chart(), "registry.example/charts/demo:1.2.3"))
    again([one], tmp_path / "release.tar")
    again([two], tmp_path / "extra.tar")
    blocks = re.findall(r"^```\n(.*?)^```$", HOWTO.read_text(encoding="utf-8"), re.M | re.S)
    commands = [line for block in blocks for line in block.replace("\\\n", "").splitlines()]
    assert len(commands) >= 5
    for command in commands:
        words = shlex.split(command, comments=True)
        assert words[0] == "airgap"
        done = airgap(*words[1:])
        assert done.code == 0, (command, done.err)
