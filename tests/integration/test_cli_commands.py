"""Each command from end to end, against the embedded registry."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.oci.platform import Platform
from tests.support import builders
from tests.support.command_line import airgap
from tests.support.embedded import EmbeddedRegistry


@pytest.fixture
def source() -> Iterator[EmbeddedRegistry]:
    """A registry with an image for two platforms that has an SBOM, and a chart."""
    with EmbeddedRegistry() as registry:
        app = registry.repository("team/app")
        image = builders.push(app, builders.multi_platform(), tag="1.4")
        builders.push(app, builders.sbom(image.descriptor))
        builders.push(registry.repository("charts/demo"), builders.chart(), tag="1.2.3")
        yield registry


@pytest.fixture
def destination() -> Iterator[EmbeddedRegistry]:
    """An empty registry."""
    with EmbeddedRegistry() as registry:
        yield registry


@pytest.fixture
def bundle(source: EmbeddedRegistry, tmp_path: Path) -> Path:
    """A bundle of the image and the chart."""
    path = tmp_path / "release.tar"
    images = [f"{source.host}/team/app:1.4", f"{source.host}/charts/demo:1.2.3"]
    assert airgap("export", "images", *images, "-o", path).code == 0
    return path


def bundle_id(text: str) -> str:
    """The bundle id that a command prints last."""
    return text.rpartition("bundle id: ")[2].split()[0]


def test_images_go_from_one_registry_to_another(
    bundle: Path, source: EmbeddedRegistry, destination: EmbeddedRegistry
) -> None:
    """What an import puts under the new name is what stood under the old one."""
    done = airgap("import", "bundle", bundle, "--to", f"{destination.host}/mirror")
    assert (done.code, done.err) == (0, "")
    assert f"-> {destination.host}/mirror/team/app:1.4  pushed" in done.out
    assert "2 images (2 pushed)" in done.out
    for name, tag in (("team/app", "1.4"), ("charts/demo", "1.2.3")):
        before = source.repository(name).manifest(tag)
        after = destination.repository(f"mirror/{name}").manifest(tag)
        assert after.raw == before.raw
    again = airgap("import", "bundle", bundle, "--to", f"{destination.host}/mirror")
    assert "2 images (2 there already)" in again.out


def test_all_commands_print_the_same_bundle_id(
    bundle: Path, source: EmbeddedRegistry, destination: EmbeddedRegistry, tmp_path: Path
) -> None:
    """Export, dry run, inspect, verify and import name the bundle by the same id."""
    images = [f"{source.host}/team/app:1.4", f"{source.host}/charts/demo:1.2.3"]
    texts = [
        airgap("export", "images", *images, "-o", tmp_path / "2.tar").out,
        airgap("export", "images", *images, "-o", tmp_path / "3.tar", "--dry-run").out,
        airgap("inspect", "bundle", bundle).out.partition("\n\n")[0],
        airgap("verify", "bundle", bundle).out,
        airgap("import", "bundle", bundle, "--to", destination.host).out,
    ]
    assert len({bundle_id(text) for text in texts}) == 1
    assert not (tmp_path / "3.tar").exists()


def test_a_dry_run_says_where_there_is_too_little_room(
    source: EmbeddedRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan is shown all the same, and the line about room says that it does not suffice."""
    monkeypatch.setattr("airgap.content.posix.free_bytes", lambda _: 100)
    arguments = ("-o", tmp_path / "b.tar", "--dry-run")
    done = airgap("export", "images", f"{source.host}/team/app:1.4", *arguments)
    assert done.code == 0
    assert "free: 100 B, which is not enough" in done.out


def test_a_dry_run_says_what_would_be_fetched_and_writes_nothing(
    source: EmbeddedRegistry, tmp_path: Path
) -> None:
    """The plan lists images, bytes, the bundle's size and the room; no layer is asked for."""
    path = tmp_path / "b.tar"
    done = airgap("export", "images", f"{source.host}/team/app:1.4", "-o", path, "--dry-run")
    assert done.code == 0
    assert f"{source.host}/team/app:1.4  linux/amd64, linux/arm64/v8" in done.out
    assert "to fetch: 10 blobs" in done.out
    assert "free: " in done.out
    assert list(tmp_path.iterdir()) == []


def test_a_dry_import_sends_nothing(bundle: Path, destination: EmbeddedRegistry) -> None:
    """The plan of an import lists the targets; the registry sees no write."""
    done = airgap("import", "bundle", bundle, "--to", destination.host, "--dry-run")
    assert done.code == 0
    assert "2 images (2 to be pushed)" in done.out
    assert {seen.method for seen in destination.seen} <= {"GET", "HEAD"}


def test_a_bundle_goes_through_pipes(
    source: EmbeddedRegistry, destination: EmbeddedRegistry
) -> None:
    """With - a bundle leaves on standard output, messages on standard error, and comes back in."""
    sent = airgap("export", "images", f"{source.host}/team/app:1.4", "-o", "-")
    assert sent.code == 0
    assert "bundle id: " in sent.err
    got = airgap("import", "bundle", "-", "--to", destination.host, stdin=sent.stdout)
    assert got.code == 0
    assert bundle_id(got.out) == bundle_id(sent.err)
    assert destination.repository("team/app").resolve("1.4") is not None


def test_json_goes_to_standard_error_beside_a_bundle(source: EmbeddedRegistry) -> None:
    """Lines of JSON never mix with a bundle on standard output."""
    sent = airgap("export", "images", f"{source.host}/charts/demo:1.2.3", "-o", "-", "--json")
    assert sent.stdout[257:262] == b"ustar"
    assert sent.err.splitlines()[-1].startswith('{"type":"result"')


def test_a_list_names_images(source: EmbeddedRegistry, tmp_path: Path) -> None:
    """References come from a file and from standard input."""
    (tmp_path / "images.txt").write_text(f"# app\n{source.host}/team/app:1.4\n")
    done = airgap(
        "export", "images", "-f", tmp_path / "images.txt", "-f", "-", "-o", tmp_path / "b.tar",
        stdin=f"{source.host}/charts/demo:1.2.3\n".encode(),
    )  # fmt: skip
    assert done.code == 0
    assert "2 images" in done.out


def test_platforms_that_stay_behind_are_listed(source: EmbeddedRegistry, tmp_path: Path) -> None:
    """A subset says what is left out, and inspect repeats it."""
    path = tmp_path / "b.tar"
    reference = f"{source.host}/team/app:1.4"
    done = airgap("export", "images", reference, "--platform", "linux/amd64", "-o", path)
    assert "other platforms: linux/arm64/v8 (1)" in done.out
    shown = airgap("inspect", "bundle", path)
    assert "linux/arm64/v8  left out (platform)" in shown.out
    assert "attestation of linux/amd64" in shown.out
    assert "sbom (application/spdx+json)" in shown.out


def test_every_option_of_an_export_reaches_the_engine(
    source: EmbeddedRegistry, tmp_path: Path
) -> None:
    """Options change what travels: referrers, platforms, the loaded platform, overwriting."""
    reference, path = f"{source.host}/team/app:1.4", tmp_path / "b.tar"

    def summary(*options: object) -> dict:
        done = airgap("export", "images", reference, "-o", path, "--overwrite", *options)
        assert done.code == 0, done.err
        return airgap("inspect", "bundle", path, "--json").lines[-1]["summary"]

    everything = summary()
    assert everything["referrers"] == {"attestation": 2, "sbom": 1}
    assert summary("--no-referrers")["referrers"] == {"attestation": 2}
    both = summary("--platform", "linux/amd64", "--platform", "linux/arm64")
    assert both["bundle_id"] == everything["bundle_id"]
    assert summary("--load-platform", "linux/arm64")["bundle_id"] != everything["bundle_id"]


def test_what_the_source_lacks_is_left_out_only_on_request(tmp_path: Path) -> None:
    """A dead child of an index is an error, and with --allow-missing-at-source an omission."""
    with EmbeddedRegistry() as registry:
        repository = registry.repository("app")
        image = builders.push(repository, builders.multi_platform(attested=False), tag="1")
        [arm] = [
            c
            for c in image.document.children()
            if c.platform and c.platform.architecture == "arm64"
        ]
        assert repository.delete_manifest(arm.digest)
        arguments = ("export", "images", f"{registry.host}/app:1", "-o", tmp_path / "b.tar")
        assert airgap(*arguments).code == 10
        done = airgap(*arguments, "--allow-missing-at-source")
        assert done.code == 0
        assert f"missing at the source: {arm.digest}" in done.out


def test_non_distributable_layers_are_listed(tmp_path: Path) -> None:
    """A layer that may not be carried is named with its size."""
    with EmbeddedRegistry() as registry:
        foreign = builders.foreign_layer("https://layers.invalid/x")
        image = builders.image(layers=(500, foreign), platform=Platform("windows", "amd64"))
        builders.push(registry.repository("win"), image, tag="1")
        done = airgap("export", "images", f"{registry.host}/win:1", "-o", tmp_path / "b.tar")
        assert done.code == 0
        assert f"non-distributable layer: {foreign.descriptor.digest}" in done.out


def test_every_option_of_an_import_reaches_the_engine(
    bundle: Path, source: EmbeddedRegistry, destination: EmbeddedRegistry
) -> None:
    """Options change what is pushed and where: --only, --keep-host, and what a tag may lose."""
    to, host = destination.host, source.host.replace(":", "-")
    done = airgap("import", "bundle", bundle, "--to", to, "--only", "**/demo", "--keep-host")
    assert "1 image (1 pushed)" in done.out
    assert destination.repository(f"{host}/charts/demo").resolve("1.2.3") is not None
    app = destination.repository("team/app")
    other = builders.push(app, builders.image(seed=5), tag="1.4").descriptor.digest
    only = ("import", "bundle", bundle, "--to", to, "--only", "**/app")
    refused = airgap(*only)
    assert refused.code == 40
    assert "error[conflict]" in refused.err
    skipped = airgap(*only, "--on-existing-tag", "skip")
    assert "1 left as it is" in skipped.out
    assert app.resolve("1.4").digest == other
    assert airgap(*only, "--on-existing-tag", "overwrite").code == 0
    assert app.resolve("1.4").digest != other


def test_digests_get_tags_on_request(
    source: EmbeddedRegistry, destination: EmbeddedRegistry, tmp_path: Path
) -> None:
    """A reference by digest alone is pushed without a tag, or with --tag-digests under one."""
    digest = source.repository("charts/demo").resolve("1.2.3").digest
    path = tmp_path / "b.tar"
    assert airgap("export", "images", f"{source.host}/charts/demo@{digest}", "-o", path).code == 0
    assert airgap("import", "bundle", path, "--to", destination.host).code == 0
    repository = destination.repository("charts/demo")
    assert list(repository.tags()) == []
    done = airgap("import", "bundle", path, "--to", destination.host, "--tag-digests", "d-")
    assert done.code == 0
    assert list(repository.tags()) == [f"d-{digest.hex[:12]}"]


def test_another_bundle_than_expected_is_refused(
    bundle: Path, destination: EmbeddedRegistry
) -> None:
    """--expect takes this bundle's id only, for import and for verify."""
    shown = bundle_id(airgap("verify", "bundle", bundle).out)
    other = "sha256:" + "0" * 64
    for command in (
        ("verify", "bundle", bundle),
        ("import", "bundle", bundle, "--to", destination.host),
    ):
        destination.clear()
        refused = airgap(*command, "--expect", other)
        assert refused.code == 20
        assert destination.seen == []
        assert airgap(*command, "--expect", shown).code == 0
        assert airgap(*command, "--expect", "latest").code == 2


def test_failures_are_listed_when_the_rest_goes_on(
    source: EmbeddedRegistry, destination: EmbeddedRegistry, tmp_path: Path
) -> None:
    """With --keep-going the summary names what failed, and the exit code is 3."""
    good, bad = f"{source.host}/charts/demo:1.2.3", f"{source.host}/charts/nope:1"
    path = tmp_path / "b.tar"
    done = airgap("export", "images", good, bad, "-o", path, "--keep-going")
    assert done.code == 3
    assert f"failed: {bad}: " in done.out
    assert done.err.startswith(f"error[partial]: 1 reference could not be exported: {bad}\nhint: ")
    assert airgap("verify", "bundle", path).code == 0
    quiet = airgap("export", "images", good, bad, "-o", path, "--keep-going", "--overwrite", "-q")
    assert (quiet.code, quiet.out) == (3, "")
    assert quiet.err.startswith(f"failed: {bad}: "), "a reason is an error"
    nothing = airgap("export", "images", bad, "-o", tmp_path / "no.tar", "--keep-going")
    assert nothing.code == 3
    assert nothing.err.startswith(f"failed: {bad}: ")
    assert not (tmp_path / "no.tar").exists()


def test_quiet_says_nothing_and_verbose_says_each_item(
    source: EmbeddedRegistry, tmp_path: Path
) -> None:
    """A quiet run writes nothing at all; a verbose one names each blob on standard error."""
    reference = f"{source.host}/team/app:1.4"
    done = airgap("export", "images", reference, "-o", tmp_path / "1.tar", "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")
    done = airgap("export", "images", reference, "-o", tmp_path / "2.tar", "--verbose")
    assert done.err.count(" copied") == 10


def test_an_export_to_a_medium_ends_with_leave_to_take_it_out(
    source: EmbeddedRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only there, and as the last word: by then everything is synced."""
    arguments = ("export", "images", f"{source.host}/charts/demo:1.2.3", "--overwrite")
    assert "safe" not in airgap(*arguments, "-o", tmp_path / "b.tar").out
    monkeypatch.setattr("airgap.content.posix.is_medium", lambda _: True)
    done = airgap(*arguments, "-o", tmp_path / "b.tar")
    assert done.out.splitlines()[-1] == "synced; safe to remove"


def test_a_check_says_how_fast_it_read(bundle: Path) -> None:
    """A sound bundle is called whole, with all of its bytes and their rate."""
    done = airgap("verify", "bundle", bundle)
    assert f"{bundle}: whole; 2 images, " in done.out
    assert re.search(r"\nchecked [0-9.]+ kB in [0-9.]+ s \([0-9.]+ [kM]?B/s\)\n", done.out)


def test_every_finding_of_a_check_is_listed(bundle: Path) -> None:
    """A damaged bundle shows what is wrong, which images need it, and exits by the worst."""
    data = bytearray(bundle.read_bytes())
    # The last blob lies before the seal: a layer of the image.
    offset = data.rindex(b"blobs/sha256/") + 512 + 40
    data[offset] ^= 1
    bundle.write_bytes(data)
    done = airgap("verify", "bundle", bundle)
    assert done.code == 20
    assert "digest-mismatch: " in done.out
    assert "needed by " in done.out
    assert "error[integrity]: " in done.err
    found = airgap("verify", "bundle", bundle, "--json").lines
    assert [line["type"] for line in found[-2:]] == ["result", "error"]
    assert found[-2]["findings"][0]["kind"] == "digest-mismatch"
    assert (found[-1]["code"], found[-1]["exit"]) == ("integrity", 20)
    bundle.write_bytes(bytes(data[:-2000]))
    assert airgap("verify", "bundle", bundle).code in (20, 23)


def test_a_log_has_every_event_with_its_time(source: EmbeddedRegistry, tmp_path: Path) -> None:
    """--log-file appends lines of JSON with a time, whatever is shown, and the error at the end."""
    log = tmp_path / "airgap.log"
    options = ("--log-file", log, "--quiet")
    reference = f"{source.host}/charts/demo:1.2.3"
    assert airgap("export", "images", reference, "-o", tmp_path / "1.tar", *options).code == 0
    first = [json.loads(line) for line in log.read_text().splitlines()]
    assert [first[0]["type"], first[-1]["type"]] == ["started", "finished"]
    assert {"phase-started", "blob-finished"} <= {line["type"] for line in first}
    assert all(line["time"].endswith("+00:00") for line in first)
    assert airgap("export", "images", reference, "-o", tmp_path / "1.tar", *options).code == 40
    both = [json.loads(line) for line in log.read_text().splitlines()]
    assert both[: len(first)] == first
    assert (both[-1]["type"], both[-1]["code"]) == ("error", "conflict")
