"""The log of custody by the command line: what is written down, shown, checked and copied."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airgap.oci.digest import Digest
from tests.compat.software import ROOT
from tests.support import builders
from tests.support.command_line import airgap, assert_refused
from tests.support.custody import anchor_of, checked, numbered


@pytest.fixture
def path() -> Path:
    """Where the log lies if nobody says otherwise."""
    return Path(os.environ["XDG_STATE_HOME"]) / "airgap" / "custody.log"


@pytest.fixture
def bundle(pack) -> Path:
    """A bundle of one image."""
    return pack({"app:1": builders.image(layers=(50_000,))})


def entries(path: Path) -> list[dict[str, Any]]:
    lines = path.read_bytes().splitlines(keepends=True)
    assert checked(lines).flaws == []
    return [json.loads(line) for line in lines]


def damage(path: Path) -> None:
    """Change a byte of the last blob in a bundle."""
    raw = bytearray(path.read_bytes())
    raw[40_000] ^= 1
    path.write_bytes(raw)


def test_a_summary_that_is_only_looked_at_is_not_written_down(bundle, tmp_path, path) -> None:
    """Nothing leaves by it; an inventory that is written is in the log."""
    assert airgap("export", "inventory", "--from", bundle, "--summary").code == 0
    assert not path.exists()
    written = tmp_path / "b.inventory"
    assert airgap("export", "inventory", "--from", bundle, "-o", written).code == 0
    [entry] = entries(path)
    assert (entry["event"], entry["details"]["paths"]) == ("export", ["b.inventory"])
    assert entry["details"]["inventory"] == str(Digest.of(written.read_bytes()))


def test_an_export_is_written_down(outside, image, name, tmp_path, path) -> None:
    """What was exported, into which file and which bundle, by which version and by whom."""
    done = airgap("export", "images", name, "-o", tmp_path / "out" / ".." / "b.tar", "--json")
    assert done.code == 30
    done = airgap("export", "images", name, "-o", tmp_path / "b.tar", "--json")
    assert (done.code, done.err) == (0, "")
    failed, entry = entries(path)
    assert (failed["details"]["exit"], failed["details"]["error"]) == (30, "storage")
    assert entry["event"] == "export"
    assert "@" in entry["by"]
    assert entry["details"] == {
        "bundle": done.lines[-1]["plan"]["bundle_id"],
        "exit": 0,
        "images": [{"name": name, "digest": str(image.digest)}],
        "paths": ["b.tar"],
    }


def test_an_import_is_written_down_with_what_the_names_stand_for(bundle, inside, path) -> None:
    """Also an import that finds everything there: it proves what the receiver holds."""
    for outcome in ("pushed", "present"):
        done = airgap("import", "bundle", bundle, "--to", f"{inside.host}/team", "--json")
        assert done.code == 0
        [image] = done.lines[-1]["images"]
        entry = entries(path)[-1]
        assert entry["event"] == "import"
        assert entry["details"] == {
            "bundle": done.lines[-1]["bundle_id"],
            "destination": f"{inside.host}/team",
            "exit": 0,
            "images": [
                {
                    "target": f"{inside.host}/team/app:1",
                    "digest": image["digest"],
                    "outcome": outcome,
                }
            ],
            "paths": [bundle.name],
        }


def test_a_verification_is_written_down_with_what_it_found(bundle, path) -> None:
    """One that finds damage is a failed one, and its entry counts the findings of each kind."""
    assert airgap("verify", "bundle", bundle).code == 0
    damage(bundle)
    assert airgap("verify", "bundle", bundle).code == 20
    good, bad = entries(path)
    assert (good["event"], good["details"]["exit"], good["details"]["findings"]) == (
        "verify",
        0,
        {},
    )
    assert bad["details"]["findings"] == {"digest-mismatch": 1}
    assert bad["details"]["exit"] == 20
    assert bad["details"]["bundle"] == good["details"]["bundle"]


def test_a_repair_is_written_down_with_what_it_rebuilt(bundle, tmp_path, path) -> None:
    """What was wrong before, what is wrong still, and which files are new."""
    (tmp_path / "copy").mkdir()
    copy = tmp_path / "copy" / bundle.name
    copy.write_bytes(bundle.read_bytes())
    damage(bundle)
    assert airgap("repair", "bundle", bundle, "--from", copy).code == 0
    damage(bundle)
    assert airgap("repair", "bundle", bundle).code == 23
    good, bad = (entry["details"] for entry in entries(path))
    assert (good["exit"], good["damage"], good["findings"]) == (0, {"digest-mismatch": 1}, {})
    assert good["repaired"] == [bundle.name]
    assert (bad["exit"], bad["error"], bad["repaired"]) == (23, "incomplete", [])
    assert bad["findings"] == {"digest-mismatch": 1}


def test_what_failed_is_written_down(bundle, inside, tmp_path, path) -> None:
    """A command that ends with an error leaves an entry with its code and its message."""
    (tmp_path / "no.tar").write_bytes(b"no bundle" * 1000)
    assert airgap("verify", "bundle", tmp_path / "no.tar").code == 22
    assert airgap("import", "bundle", tmp_path / "no.tar", "--to", inside.host).code == 22
    builders.push(inside.repository("app"), builders.image(seed=5), tag="1")
    assert airgap("import", "bundle", bundle, "--to", inside.host).code == 40
    assert airgap("import", "bundle", bundle, "--to", inside.host, "--keep-going").code == 3
    details = [entry["details"] for entry in entries(path)]
    assert [entry["exit"] for entry in details] == [22, 22, 40, 3]
    assert [entry.get("error") for entry in details[1:]] == ["bundle-format", "conflict", None]
    assert "app:1" in details[2]["message"]
    assert len(details[3]["failed"]) == 1


def test_a_dry_run_is_not_written_down(bundle, inside, name, tmp_path, path) -> None:
    """Nothing was done."""
    assert airgap("import", "bundle", bundle, "--to", inside.host, "--dry-run").code == 0
    assert airgap("export", "images", name, "-o", tmp_path / "b.tar", "--dry-run").code == 0
    assert not path.exists()


@pytest.mark.parametrize("place", ["flag", "environment"])
def test_the_log_may_lie_elsewhere(bundle, tmp_path, path, monkeypatch, place: str) -> None:
    """A log that several people share is named by a flag, the environment or a file."""
    shared = tmp_path / "shared.log"
    flags = ["--custody-log", shared] if place == "flag" else []
    if place == "environment":
        monkeypatch.setenv("AIRGAP_CUSTODY_LOG", str(shared))
    assert airgap("verify", "bundle", bundle, *flags).code == 0
    assert len(entries(shared)) == 1
    assert not path.exists()
    assert f"{shared}: 1 entry, whole" in airgap("log", "verify", *flags).out


def test_a_log_that_cannot_be_written_is_a_warning(bundle, tmp_path) -> None:
    """The work is done all the same, and the last line of JSON is still the result."""
    (tmp_path / "file").touch()
    log = tmp_path / "file" / "custody.log"
    done = airgap("verify", "bundle", bundle, "--custody-log", log, "--json")
    assert done.code == 0
    [notice] = [line for line in done.lines if line["type"] == "notice"]
    assert (notice["level"], notice["code"]) == ("warning", "custody-log")
    assert "the log of custody lacks this" in notice["message"]
    assert done.lines[-1]["type"] == "result"
    assert "warning: " in airgap("verify", "bundle", bundle, "--custody-log", log).err


def test_a_damaged_log_is_not_built_upon_and_says_what_to_do(bundle, path) -> None:
    """The warning names the log and the command that tells more."""
    path.parent.mkdir(parents=True)
    path.write_bytes(b"nothing\n")
    done = airgap("verify", "bundle", bundle)
    assert done.code == 0
    assert "airgap log verify" in done.err
    assert path.read_bytes() == b"nothing\n"


def test_names_that_are_no_text_are_written_down_visibly(bundle, tmp_path, path) -> None:
    """A file name of other bytes or with control characters is escaped."""
    strange = tmp_path / os.fsdecode(b"b\xff\x1b.tar")
    bundle.rename(strange)
    assert airgap("verify", "bundle", strange).code == 0
    assert entries(path)[0]["details"]["paths"] == ["b\\udcff\\x1b.tar"]


def test_processes_at_once_lose_no_entry(bundle, path) -> None:
    """Commands that run beside each other append one after the other."""
    command = [sys.executable, "-m", "airgap", "verify", "bundle", str(bundle), "-q"]
    running = [subprocess.Popen(command, cwd=ROOT) for _ in range(4)]
    assert [process.wait(60) for process in running] == [0] * 4
    assert [entry["event"] for entry in entries(path)] == ["verify"] * 4


def test_the_log_is_shown(bundle, path) -> None:
    """The last entries with what they were about, and the head for whoever writes it down."""
    assert "0 entries" in airgap("log", "show").out
    assert not path.exists()
    for _ in range(3):
        airgap("verify", "bundle", bundle)
    shown = airgap("log", "show", "-n", "2").out.splitlines()
    head = Digest.of(path.read_bytes().splitlines(keepends=True)[-1])
    assert [line.split()[0] for line in shown[:2]] == ["2", "3"]
    assert f"  verify  done  {bundle.name}  sha256:" in shown[0]
    assert shown[2:] == [f"{path}: 3 entries", f"head: {head}"]
    [result] = airgap("log", "show", "--json").lines
    assert (result["length"], result["head"]) == (3, str(head))
    assert [entry["seq"] for entry in result["entries"]] == [1, 2, 3]
    assert result["entries"][2]["details"]["paths"] == [bundle.name]


def test_hostile_text_in_a_log_is_shown_safely(path) -> None:
    """A log may come from somebody else: what a terminal would obey is escaped."""
    path.parent.mkdir(parents=True)
    [line] = numbered(1)
    path.write_bytes(line.replace(b"tester@here", b"\\u001b[31m\xe2\x80\xae"))
    shown = airgap("log", "show").out
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_what_cannot_be_read_of_a_log_is_left_out_with_a_word(path) -> None:
    """The other entries are shown, and the command that tells which it is is named."""
    path.parent.mkdir(parents=True)
    one, two, three = numbered(3)
    path.write_bytes(one + b"{}\n" + three + two[:9])
    done = airgap("log", "show")
    assert [line.split()[0] for line in done.out.splitlines()[:2]] == ["1", "3"]
    assert "1 line cannot be read: airgap log verify" in done.err


def test_a_changed_log_is_found(path) -> None:
    """Each flaw has a line, and the exit code is that of damaged content."""
    path.parent.mkdir(parents=True)
    lines = numbered(6)
    path.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    done = airgap("log", "verify")
    assert done.code == 20
    assert "removed: entry 3: not there (line 3)" in done.out
    assert f"{path}: 6 entries, 1 problem" in done.out
    result, error = airgap("log", "verify", "--json").lines
    assert [flaw["kind"] for flaw in result["flaws"]] == ["removed"]
    assert (error["code"], error["exit"]) == ("integrity", 20)


def test_a_head_that_was_noted_finds_a_cut_tail(path) -> None:
    """The head that the command printed is in the log for ever, or something is gone."""
    path.parent.mkdir(parents=True)
    lines = numbered(4)
    head = anchor_of(lines[:3]).head
    path.write_bytes(b"".join(lines))
    assert airgap("log", "verify", "--expect", head).code == 0
    path.write_bytes(b"".join(lines[:2]))
    assert "--receipt or --expect" in airgap("log", "verify").out
    done = airgap("log", "verify", "--expect", head)
    assert done.code == 20
    assert f"no entry hashes to {head}" in done.out


def test_an_unfinished_entry_is_no_flaw(path) -> None:
    """A power cut is told apart from somebody who changed the log."""
    path.parent.mkdir(parents=True)
    path.write_bytes(b"".join(numbered(2)) + b'{"by":')
    done = airgap("log", "verify")
    assert done.code == 0
    assert "6 bytes at the end are of an entry that was not finished" in done.out


def test_a_copy_of_the_log_has_the_same_chain(bundle, path, tmp_path) -> None:
    """To a file or to standard output: the same bytes, which are checked elsewhere."""
    for _ in range(2):
        airgap("verify", "bundle", bundle)
    raw = path.read_bytes()
    path.write_bytes(raw + b"{unfinished")
    copy = tmp_path / "copy.jsonl"
    piped = airgap("log", "export")
    assert (piped.code, piped.stdout) == (0, raw)
    assert "2 entries" in piped.err
    done = airgap("log", "export", "-o", copy)
    assert f"{copy}: 2 entries" in done.out
    assert "11 bytes of an unfinished entry" in done.err
    assert copy.read_bytes() == raw
    assert copy.stat().st_mode & 0o777 == 0o600
    assert f"{copy}: 2 entries, whole" in airgap("log", "verify", copy).out


def test_a_copy_replaces_nothing_unasked(bundle, path, tmp_path) -> None:
    """A file that is there stays, and the log itself stays always."""
    airgap("verify", "bundle", bundle)
    copy = tmp_path / "copy.jsonl"
    copy.write_text("mine")
    assert_refused(airgap("log", "export", "-o", copy), 40, "conflict", "--overwrite")
    assert copy.read_text() == "mine"
    assert airgap("log", "export", "-o", copy, "--overwrite").code == 0
    assert copy.read_bytes() == path.read_bytes()
    done = airgap("log", "export", "-o", path, "--overwrite")
    assert_refused(done, 2, "settings", "is the log itself")


def test_a_named_log_must_be_there(tmp_path) -> None:
    """A wrong name is no empty log."""
    done = airgap("log", "verify", tmp_path / "no.jsonl")
    assert_refused(done, 10, "content-not-found", "there is no such file")


def test_a_log_that_is_gone_is_told_from_one_that_is_whole(path) -> None:
    """Nothing was noted yet, or somebody removed the file: nobody can see which."""
    note = "there is no such file"
    done = airgap("log", "verify")
    assert done.code == 0
    assert note in done.out
    path.parent.mkdir(parents=True)
    path.write_bytes(b"".join(numbered(2)))
    assert note not in airgap("log", "verify").out


def test_another_file_is_no_log_with_flaws(bundle, path) -> None:
    """It is told as what it is, and not as hundreds of entries that somebody damaged."""
    done = airgap("log", "verify", bundle)
    assert_refused(done, 22, "bundle-format", "is no log of custody")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(numbered(3)[:1]) + bundle.read_bytes())
    assert airgap("log", "verify").code == 20


def test_what_is_no_head_is_called_so(path) -> None:
    """Nobody who checks a log is asked for the id of a bundle."""
    done = airgap("log", "verify", "--expect", "1234")
    assert_refused(done, 2, "settings", "is not the head of a log", "`airgap log verify`")


def test_what_is_no_receipt_is_refused(bundle) -> None:
    """Only a receipt remembers how far a log went."""
    assert_refused(
        airgap("log", "verify", "--receipt", bundle), 22, "bundle-format", "is no receipt"
    )
