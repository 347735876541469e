"""The commands of inventories: made, shown, compared, signed, and used by the next export."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from airgap.record.inventory import Inventory
from airgap.trust.keys import PrivateKey
from tests.support import builders
from tests.support.command_line import airgap, assert_refused
from tests.support.embedded import EmbeddedRegistry, Status
from tests.support.inventories import make_inventory, sample
from tests.support.inventory_walks import Plain, fill


@pytest.fixture
def registry():
    """A registry of somebody else."""
    with Plain() as found:
        yield found


@pytest.fixture
def keys(tmp_path):
    """A private and a public key."""
    key = PrivateKey.generate("ed25519")
    (tmp_path / "a.key").write_bytes(key.to_pem())
    (tmp_path / "a.pub").write_bytes(key.public.to_pem())
    return tmp_path / "a.key", tmp_path / "a.pub"


@pytest.fixture
def file(tmp_path):
    """An inventory in a file."""
    path = tmp_path / "in.inventory"
    path.write_bytes(sample().raw)
    return path


def make(registry, path, *more):
    return airgap("export", "inventory", "--from", registry.host, "-o", path, *more)


def test_an_inventory_is_made_and_shown(registry, tmp_path):
    """The file holds what the result says, and inspect says the same."""
    multi, _ = fill(registry)
    path = tmp_path / "in.inventory"
    done = make(registry, path, "--json", "--by", "Ada")
    assert done.code == 0, done.err
    result = done.lines[-1]
    inventory = Inventory.parse(path.read_bytes())
    assert result["id"] == str(inventory.id)
    assert result["blobs"] == inventory.blob_count
    assert result["place"] == registry.host
    assert (result["by"], result["is_complete"], result["failed"]) == ("Ada", True, [])
    assert {"name": "team/app:1.0", "digest": str(multi.digest)} in result["images"]
    shown = airgap("inspect", "inventory", path, "--json").lines[-1]
    same = ("id", "content_digest", "summary", "blobs", "links", "size", "images", "made")
    assert {key: shown[key] for key in same} == {key: result[key] for key in same}


def test_people_get_counts_and_the_names_if_they_want(file):
    """Place, time, author, counts and both digests; the images with -v."""
    done = airgap("inspect", "inventory", file)
    assert done.code == 0
    for text in ("registry.internal:5000", "2026-01-31T12:30:05Z", "Ada, shift 2", "4 blobs"):
        assert text in done.out
    assert str(sample().content_digest) in done.out
    assert "team/app:1.0" not in done.out
    assert "team/app:1.0" in airgap("inspect", "inventory", file, "-v").out


def test_the_summary_is_one_line_that_verify_takes(file):
    """Typed right it is whole, typed wrong it exits with 20."""
    line = airgap("inspect", "inventory", file, "--summary").out
    assert line.count("\n") == 1
    done = airgap("verify", "inventory", file, "--summary", line.strip().lower())
    assert done.code == 0
    assert "the one of the summary" in done.out
    wrong = line.strip()[:-1] + "9"
    assert_refused(
        airgap("verify", "inventory", file, "--summary", wrong), 20, "digest-mismatch", "count"
    )
    assert_refused(airgap("verify", "inventory", file, "--summary", "hello"), 2, "settings")


def test_the_qr_code_is_that_of_the_summary_whatever_the_background(file, monkeypatch):
    """On a terminal black on white is asked for; elsewhere it is drawn as on paper."""
    import segno

    monkeypatch.setenv("TERM", "xterm-256color")
    plain = airgap("inspect", "inventory", file, "--qr").out.splitlines()
    colored = airgap("inspect", "inventory", file, "--qr", terminal=True).out.splitlines()
    line, *drawn = plain
    assert line.startswith("AIRGAP1 ")
    assert [
        text.removeprefix("\x1b[38;5;16;48;5;231m").removesuffix("\x1b[0m") for text in colored[1:]
    ] == drawn
    assert all(text.startswith("\x1b[38;5;16;48;5;231m") for text in colored[1:])
    upper, lower = {" ": 0, "▀": 1, "▄": 0, "█": 1}, {" ": 0, "▀": 0, "▄": 1, "█": 1}
    rows = [[part[char] for char in text] for text in drawn for part in (upper, lower)]
    code = segno.make_qr(line, error="m", boost_error=False)
    matrix = [[int(bool(dark)) for dark in row] for row in code.matrix_iter(scale=1, border=4)]
    assert rows[: len(matrix)] == matrix
    assert not any(map(any, rows[len(matrix) :]))
    assert len(drawn[0]) < 60


def test_only_the_summary_may_be_wanted(registry):
    """Without a file nothing is written, and the line is there."""
    fill(registry)
    done = airgap("export", "inventory", "--from", registry.host, "--summary")
    assert done.code == 0
    assert done.out.startswith("AIRGAP1 ")
    assert done.out.count("\n") == 1
    none = airgap("export", "inventory", "--from", registry.host)
    assert_refused(none, 2, "settings", "-o FILE")


def test_a_signed_inventory_is_taken_for_its_key_only(registry, keys, tmp_path):
    """Signed by the key it is good, unsigned or changed it exits with 21."""
    private, public = keys
    fill(registry)
    path = tmp_path / "in.inventory"
    assert make(registry, path, "--sign", private).code == 0
    done = airgap("verify", "inventory", path, "--trust", public, "--json")
    assert done.code == 0, done.err
    [signer] = done.lines[-1]["signers"]
    assert signer["key"].startswith("sha256:")
    shown = airgap("inspect", "inventory", path, "--json").lines[-1]
    assert len(shown["signed_by"]) == 1
    signed = path.read_bytes()
    path.write_bytes(signed[: signed.index(b"\n-----BEGIN")])
    assert airgap("verify", "inventory", path, "--trust", public).code == 21
    other = sample().raw + signed[signed.index(b"\n-----BEGIN") :]
    path.write_bytes(other)
    assert airgap("verify", "inventory", path, "--trust", public).code == 21
    assert airgap("verify", "inventory", path).code == 0


def test_an_older_inventory_is_replaced_and_nothing_else(registry, tmp_path, file):
    """A bundle or a text under that name stays."""
    fill(registry)
    assert make(registry, file).code == 0
    other = tmp_path / "notes.txt"
    other.write_text("mine")
    assert_refused(make(registry, other), 40, "conflict", "no inventory")
    assert other.read_text() == "mine"
    assert_refused(make(registry, tmp_path), 2, "settings", "folder")
    assert_refused(make(registry, tmp_path / "no" / "x"), 2, "settings", "folder")


def test_standard_output_gets_the_bytes_and_nothing_else(registry):
    """What is said for people goes to standard error then."""
    fill(registry)
    done = make(registry, "-")
    assert done.code == 0
    assert Inventory.parse(done.stdout).blob_count > 0
    assert "blobs" in done.err
    seen = airgap("export", "inventory", "--from", registry.host, "-o", "-", terminal=True)
    assert (seen.code, seen.out) == (2, "")
    assert "terminal" in seen.err


def test_repositories_may_be_named_and_listed(registry, tmp_path):
    """With the registry before them or without; comments and empty lines count for nothing."""
    fill(registry)
    listed = tmp_path / "repositories.txt"
    listed.write_text(f"# ours\n\n{registry.host}/base  # shared\n")
    path = tmp_path / "in.inventory"
    assert make(registry, path, "--repository", "copy", "-f", listed).code == 0
    assert Inventory.parse(path.read_bytes()).repositories == ("base", "copy")
    assert registry.count("GET", "_catalog") == 0
    for text, where in (("UPPER", "line 1"), ("a b", "line 1"), ("\xff", "line 1")):
        listed.write_text(text)
        assert_refused(make(registry, path, "-f", listed), 2, "settings", where)
    listed.write_text("# none\n")
    assert_refused(make(registry, path, "-f", listed), 2, "settings", "empty")
    listed.write_bytes(b"\xff\xfe")
    assert_refused(make(registry, path, "-f", listed), 2, "settings", "UTF-8")
    gone = make(registry, path, "-f", tmp_path / "gone")
    assert_refused(gone, 2, "settings", "cannot be read")


def test_what_cannot_be_read_is_left_out_on_wish_with_exit_3(registry, tmp_path):
    """By default nothing is written."""
    fill(registry)
    registry.also = lambda seen: Status(403) if "/v2/base/tags" in seen.path else None
    path = tmp_path / "in.inventory"
    done = make(registry, path)
    assert_refused(done, 11, "unauthorized")
    assert not path.exists()
    done = make(registry, path, "--keep-going", "--json")
    assert done.code == 3
    result, error = done.lines[-2:]
    assert [failure["name"] for failure in result["failed"]] == ["base"]
    assert not result["is_complete"]
    assert error["code"] == "partial"
    assert not Inventory.parse(path.read_bytes()).is_complete


def test_a_closed_list_names_the_option(registry, tmp_path):
    """Whoever may not list the repositories is told to name them."""
    registry.also = lambda seen: Status(401) if "_catalog" in seen.path else None
    done = make(registry, tmp_path / "x")
    assert_refused(done, 11, "unauthorized", "--repository NAME")


def test_the_cache_lies_in_the_users_folder(registry, tmp_path):
    """The next command fetches no manifest that is known."""
    fill(registry)
    assert make(registry, tmp_path / "x", "--json").lines[-1]["manifests_known"] == 0
    registry.clear()
    done = make(registry, tmp_path / "x", "--json")
    assert done.lines[-1]["manifests_fetched"] == 0
    assert registry.bodies() == 0
    assert (Path(os.environ["XDG_CACHE_HOME"]) / "airgap" / "manifests").is_dir()


def test_a_bundle_a_layout_and_a_data_folder_have_inventories(pack, tmp_path):
    """Each is told by what it is."""
    image = builders.image()
    bundle = pack({"app:1": image})
    path = tmp_path / "x.inventory"
    assert airgap("export", "inventory", "--from", bundle, "-o", path).code == 0
    assert Inventory.parse(path.read_bytes()).find(image.digest) is not None
    from tests.support.datafolders import opened

    depot = opened(tmp_path / "data")
    builders.push(depot.repository("team/app"), image, tag="1")
    depot.close()
    done = airgap("export", "inventory", "--from", tmp_path / "data", "-o", path)
    assert done.code == 0, done.err
    found = Inventory.parse(path.read_bytes())
    assert (found.kind, found.repositories) == ("registry", ("team/app",))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from", "https://registry.example"], "url"),
        (["--from", "registry.example/team"], "whole registry"),
        (["--from", "a.example:1", "--from", "b.example:1"], "one registry"),
        (["--from", "a.example:1", "--only", "x"], "--missing-for"),
        (["--from", "a.example:1", "--missing-for", "x", "--repository", "a"], "--repository"),
        (["--from", "./here", "--check-blobs"], "about a registry"),
        (["--from", "a.example:1", "--database", "postgresql://x"], "data folder"),
        (["--from", "./here", "--from", "a.example:1"], "no file"),
        (["--from", "a.example:1", "--by", "a\nb"], "--by"),
        (["--from", "a.example:1", "--missing-for", "x", "--mount-from", "A"], "repository"),
        (["--from", "a.example:1", "--missing-for", "-"], "needs a file"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path, arguments, said):
    """Before anything is asked of anybody."""
    done = airgap("export", "inventory", *arguments, "-o", tmp_path / "x")
    assert_refused(done, 2, "settings", said)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_a_damaged_file_is_no_inventory(file, tmp_path, command):
    """Exit 22, whether it was cut, changed or is something else."""
    raw = file.read_bytes()
    for content in (raw[:-3], raw.replace(b'"blobs":3', b'"blobs":4'), b"hello", b""):
        file.write_bytes(content)
        assert_refused(airgap(command, "inventory", file), 22, "bundle-format")
    newer = raw.replace(b'"formatVersion":1', b'"formatVersion":2')
    file.write_bytes(newer)
    assert_refused(airgap(command, "inventory", file), 22, "bundle-format", "inventory", "2")
    assert airgap(command, "inventory", tmp_path / "gone").code == 10


def test_a_lost_base_is_found_by_an_inventory_and_brought(outside, inside, tmp_path):
    """Inventory, update against it, a need for what was lost, and a bundle with exactly that."""
    old = builders.image(layers=(3000, 4000), seed=1)
    builders.push(outside.repository("app"), old, tag="1")
    builders.push(inside.repository("app"), old, tag="1")
    new = builders.image(layers=(3000, 4000, 500), seed=1)
    builders.push(outside.repository("app"), new, tag="2")
    name = f"{outside.host}/app:2"
    held, update, need = (tmp_path / name for name in ("in.inventory", "u.tar", "need.inventory"))
    assert make(inside, held).code == 0
    done = airgap("export", "images", name, "--against", held, "-o", update)
    assert done.code == 0, done.err
    with EmbeddedRegistry() as empty:
        assert airgap("import", "bundle", update, "--to", empty.host).code == 23
        done = airgap(
            "export",
            "inventory",
            "--from",
            empty.host,
            "--missing-for",
            update,
            "-o",
            need,
            "--json",
        )
        assert done.code == 0, done.err
        assert (done.lines[-1]["kind"], done.lines[-1]["blobs"] > 0) == ("need", True)
        rest = tmp_path / "rest.tar"
        assert airgap("export", "images", "--exactly", need, "-o", rest).code == 0
        assert airgap("import", "bundle", rest, "--to", empty.host).code == 0
        assert airgap("import", "bundle", update, "--to", empty.host).code == 0
        assert empty.repository("app").resolve("2").digest == new.digest
    assert airgap("import", "bundle", update, "--to", inside.host).code == 0


def test_what_was_taken_stands_in_the_log_of_custody(registry, tmp_path):
    """The inventory's id and the file's name."""
    fill(registry)
    path = tmp_path / "in.inventory"
    made = make(registry, path, "--json").lines[-1]
    entry = airgap("log", "export").lines[-1]
    assert entry["details"]["inventory"] == made["id"]
    assert entry["details"]["paths"] == ["in.inventory"]


def test_a_run_that_is_killed_is_continued_where_it_was(registry, tmp_path):
    """No file is half written, and what finished repositories hold is not fetched again."""
    for number in range(12):
        builders.push(registry.repository(f"r{number:02}"), builders.image(seed=number), tag="1")
    path = tmp_path / "in.inventory"
    command = [sys.executable, "-m", "airgap", "export", "inventory", "--from", registry.host]
    killed = []

    def kills(seen):
        if registry.bodies() >= 8 and not killed:
            killed.append(process.kill())

    registry.also = kills
    process = subprocess.Popen([*command, "-o", str(path), "-j", "1"], stderr=subprocess.PIPE)
    process.communicate(timeout=60)
    assert process.returncode == -9
    assert not path.exists()
    registry.also = None
    registry.clear()
    assert make(registry, path).code == 0
    assert registry.bodies() <= 12 - 7
    assert len(Inventory.parse(path.read_bytes()).images) == 12


@pytest.mark.parametrize("command", ["inspect", "verify", "import"])
def test_a_record_that_is_given_as_a_bundle_is_told_apart(tmp_path, command):
    """It is not damaged, so nobody is told to copy it again: the hint says what reads it."""
    path = tmp_path / "inside.inventory"
    path.write_bytes(make_inventory([]).raw)
    more = ("--to", "127.0.0.1:1") if command == "import" else ()
    done = airgap(command, "bundle", path, *more)
    assert done.code == 22
    assert f"{path} is JSON and not a bundle" in done.out + done.err
    assert "`airgap inspect inventory`" in done.out + done.err
    assert "do not use it" not in done.out + done.err
