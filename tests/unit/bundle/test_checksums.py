"""Checksums beside a bundle are those that coreutils checks."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from airgap.bundle.checksums import checksum_line, write_checksums
from airgap.errors import CancelledError, ContentNotFoundError, StorageError
from airgap.oci.digest import Digest
from airgap.run import CancelToken, Run

NAMES = ("release.001.tar", "a name with  spaces", "back\\slash", "line\nbreak\r", "*star", "-dash")


def write(folder: Path) -> list[Path]:
    """Files with all kinds of names, one of them over several chunks."""
    paths = [folder / name for name in NAMES]
    for number, path in enumerate(paths):
        path.write_bytes(b"%d" % number * (3 << 20 if not number else 10))
    return paths


def sums(folder: Path) -> subprocess.CompletedProcess[str]:
    """What sha256sum says of the files in a folder."""
    tool = shutil.which("sha256sum")
    if tool is None:
        pytest.skip("no sha256sum here")
    return subprocess.run(
        [tool, "--strict", "-c", "release.sha256"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_sha256sum_takes_every_line(tmp_path: Path) -> None:
    """Also those of names that it escapes."""
    write_checksums(write(tmp_path), tmp_path / "release.sha256", run=Run(), jobs=3)
    done = sums(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("OK") == len(NAMES)


def test_sha256sum_finds_a_changed_file(tmp_path: Path) -> None:
    """One changed byte fails that file alone."""
    paths = write(tmp_path)
    write_checksums(paths, tmp_path / "release.sha256", run=Run(), jobs=2)
    paths[1].write_bytes(b"other")
    done = sums(tmp_path)
    assert done.returncode == 1
    assert done.stdout.count("FAILED") == 1


def test_the_lines_are_those_of_the_tool(tmp_path: Path) -> None:
    """Byte for byte what sha256sum prints in that folder."""
    tool = shutil.which("sha256sum")
    if tool is None:
        pytest.skip("no sha256sum here")
    write(tmp_path)
    write_checksums([tmp_path / n for n in NAMES], tmp_path / "sums", run=Run(), jobs=1)
    done = subprocess.run([tool, "--", *NAMES], cwd=tmp_path, capture_output=True, check=True)
    # older tools leave a carriage return as it is, and read both forms
    line = checksum_line(NAMES[3], Digest.of(b"3" * 10)).encode()
    old = line.replace(b"\\r", b"\r")
    written = (tmp_path / "sums").read_bytes()
    assert done.stdout in (written, written.replace(line, old))


def test_names_are_relative_to_the_folder_of_the_checksums(tmp_path: Path) -> None:
    """The folder can be copied anywhere."""
    path = tmp_path / "x.tar"
    path.write_bytes(b"x")
    write_checksums([path], tmp_path / "sums", run=Run(), jobs=1)
    assert (tmp_path / "sums").read_text() == f"{Digest.of(b'x').hex}  x.tar\n"


def test_a_file_that_is_not_there_leaves_the_old_checksums(tmp_path: Path) -> None:
    """Nothing is written before everything is hashed."""
    target = tmp_path / "sums"
    target.write_text("old")
    with pytest.raises((ContentNotFoundError, StorageError)):
        write_checksums([tmp_path / "none"], target, run=Run(), jobs=1)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_cancelled_run_writes_nothing(tmp_path: Path) -> None:
    """It stops between chunks."""
    token = CancelToken()
    token.cancel()
    with pytest.raises(CancelledError):
        write_checksums(write(tmp_path), tmp_path / "sums", run=Run(cancel=token), jobs=2)
    assert not (tmp_path / "sums").exists()
