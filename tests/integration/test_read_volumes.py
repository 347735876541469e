"""Commands take one file, several or a folder, and tell which volumes are here."""

from __future__ import annotations

from pathlib import Path

import pytest

from airgap.errors import DigestMismatchError
from airgap.transfer.destination import Destination
from airgap.transfer.outcome import ImportResult
from airgap.transfer.publish import import_bundle
from tests.support.bundles import make_bundle
from tests.support.command_line import airgap
from tests.support.embedded import EmbeddedRegistry
from tests.support.transfers import bring, open_client, sent
from tests.support.volume_sets import MadeVolumes, split
from tests.support.wire import Wire


@pytest.fixture
def made(tmp_path: Path) -> MadeVolumes:
    """Small volumes in `tmp_path`, with blobs that are cut."""
    volumes = split(make_bundle(layer_size=3000), 1500)
    volumes.write(tmp_path)
    assert volumes.cut
    return volumes


def bring_all(paths: list[Path], to: str) -> ImportResult:
    """Import files or folders."""
    with open_client() as client:
        return import_bundle(paths, Destination.parse(to), client=client)


def test_a_folder_of_volumes_brings_what_one_file_does(
    made: MadeVolumes, tmp_path: Path, inside: EmbeddedRegistry
) -> None:
    """Files in any order find everything there already."""
    bring_all([tmp_path], inside.host)
    with EmbeddedRegistry() as other, Wire(inside.host) as ours, Wire(other.host) as theirs:
        bring(made.made.data, other.host)
        names = theirs.ask("GET", "/v2/_catalog", status=200).json["repositories"]
        assert ours.ask("GET", "/v2/_catalog", status=200).json["repositories"] == names
        found = 0
        for name in names:
            for digest in made.made.contents:
                place = f"/v2/{name}/blobs/{digest}"
                mine, wanted = ours.ask("GET", place), theirs.ask("GET", place)
                assert (mine.status, mine.body) == (wanted.status, wanted.body)
                found += mine.status == 200
        assert found >= len(made.made.contents)
    inside.clear()
    result = bring_all(sorted(tmp_path.iterdir(), reverse=True), inside.host)
    assert (result.blobs_pushed, sent(inside)) == (0, [])


def test_what_is_named_first_is_read_where_a_volume_is_there_twice(
    made: MadeVolumes, tmp_path: Path, inside: EmbeddedRegistry
) -> None:
    """What was rebuilt elsewhere stands in for the volume that is still damaged on the medium."""
    start = next(content[:16] for content in made.made.contents.values() if len(content) > 1500)
    number = next(n for n, data in enumerate(made.data) if start in data)
    rebuilt = tmp_path / "rebuilt"
    rebuilt.mkdir()
    name = f"bundle.{number + 1:03}.tar"
    (rebuilt / name).write_bytes(made.data[number])
    damaged = made.data[number].replace(start, bytes(16))
    (tmp_path / name).write_bytes(damaged)
    with pytest.raises(DigestMismatchError):
        bring_all([tmp_path, rebuilt], inside.host)
    assert bring_all([rebuilt, tmp_path], inside.host).blobs_pushed > 0


def test_inspect_lists_the_volumes_that_are_here(made: MadeVolumes, tmp_path: Path) -> None:
    """A missing one is no error here: the fronts of the others say everything."""
    count = len(made.data)
    whole = airgap("inspect", "bundle", tmp_path, "--json").lines[-1]
    assert (whole["volume_count"], whole["missing_volumes"]) == (count, [])
    assert whole["size"] == sum(map(len, made.data))
    gone = tmp_path / "bundle.002.tar"
    gone.unlink()
    done = airgap("inspect", "bundle", tmp_path, "--json")
    assert done.code == 0, done.err
    partly = done.lines[-1]
    assert partly["missing_volumes"] == [2]
    assert partly["size"] == whole["size"] - len(made.data[1])
    assert partly["volumes"] == [row for row in whole["volumes"] if row["path"] != str(gone)]
    assert partly["summary"]["bundle_id"] == str(made.made.catalog.id)
    out = airgap("inspect", "bundle", tmp_path).out
    assert f"{count - 1} of {count} volumes are here; missing: 2\n" in out


def test_inspect_takes_files_in_any_order(made: MadeVolumes, tmp_path: Path) -> None:
    """And says the same of them as of their folder."""
    files = sorted(tmp_path.iterdir(), reverse=True)
    ours = airgap("inspect", "bundle", *files, "--json").lines[-1]
    theirs = airgap("inspect", "bundle", tmp_path, "--json").lines[-1]
    assert ours.pop("path") != theirs.pop("path")
    assert ours == theirs


def test_mixed_up_bundles_and_empty_folders_have_their_exit_codes(
    made: MadeVolumes, tmp_path: Path
) -> None:
    """40 with both ids, and 10."""
    other = make_bundle(layer_size=10)
    (tmp_path / "other.tar").write_bytes(other.data)
    done = airgap("inspect", "bundle", tmp_path)
    assert done.code == 40
    assert made.made.catalog.id.short in done.err
    assert other.catalog.id.short in done.err
    (tmp_path / "empty").mkdir()
    done = airgap("inspect", "bundle", tmp_path / "empty")
    assert (done.code, "there is no bundle in it" in done.err) == (10, True)


def test_a_volume_alone_does_not_come_through_a_pipe(
    made: MadeVolumes, inside: EmbeddedRegistry
) -> None:
    """One line, a hint, and nothing is sent."""
    done = airgap(
        "import", "bundle", "-", "--to", inside.host, "--plain-http", inside.host,
        stdin=made.data[0],
    )  # fmt: skip
    assert done.code == 23
    assert f"standard input is volume 1 of {len(made.data)}" in done.err
    assert "hint: " in done.err
    assert sent(inside) == []


def test_standard_input_is_not_named_beside_files(made: MadeVolumes, tmp_path: Path) -> None:
    """Which of the two would be meant is not clear."""
    path = tmp_path / "bundle.001.tar"
    done = airgap("import", "bundle", "-", path, "--to", "127.0.0.1:1", stdin=made.data[0])
    assert done.code == 2
    assert "standard input is one bundle" in done.err
