"""What is no bundle, or only a part of one, is refused for what it is."""

import bz2
import errno
import gzip
import io
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from airgap.bundle import members
from airgap.bundle.reader import open_bundle
from airgap.errors import (
    BundleFormatError,
    ContentNotFoundError,
    StorageError,
)
from tests.support.bundles import make_bundle, refusal

MADE = make_bundle()


def foreign(*names: str, kind: bytes = tarfile.REGTYPE) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.type = kind if name == names[0] else tarfile.REGTYPE
            info.mtime = 1_700_000_000
            tar.addfile(info)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("pack_it", "tool"),
    [(gzip.compress, "gunzip"), (bz2.compress, "bunzip2"), (lzma.compress, "unxz")],
)
def test_a_compressed_bundle_is_refused(
    tmp_path: Path, pack_it: Callable[[bytes], bytes], tool: str
) -> None:
    """The hint says how to unpack it, and how to import it in one go."""
    error = refusal(tmp_path, pack_it(MADE.data))
    assert error.exit_code == 22
    assert "compressed" in error.message
    assert tool in error.hint
    assert "airgap import bundle -" in error.hint


def test_zstd_is_told_by_its_first_bytes(tmp_path: Path) -> None:
    """It needs no library to be recognised."""
    error = refusal(tmp_path, b"\x28\xb5\x2f\xfd" + bytes(range(200)))
    assert "zstd" in error.message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"<html>" * 200,
        b'{"schemaVersion": 2}',
        b"PK\x03\x04" + bytes(600),
        bytes(range(256)) * 8,
        b"\xff" * 1024,
    ],
    ids=["empty", "text", "html", "json", "zip", "bytes", "ones"],
)
def test_what_is_not_a_tar_is_refused(tmp_path: Path, data: bytes) -> None:
    """Anything else than a tar is no bundle."""
    assert refusal(tmp_path, data).exit_code == 22


@pytest.mark.parametrize(
    "names",
    [
        ("oci-layout", "index.json", "blobs/sha256/" + "0" * 64),
        ("blobs", "blobs/sha256", "index.json"),
        ("manifest.json", "repositories"),
        ("0" * 64 + "/layer.tar",),
        ("0" * 64 + ".json", "manifest.json"),
        ("./oci-layout",),
    ],
)
def test_an_image_archive_of_another_tool_is_named(tmp_path: Path, names: tuple[str, ...]) -> None:
    """It says that this is an image archive, and what can be done with it."""
    kind = tarfile.DIRTYPE if names[0] == "blobs" else tarfile.REGTYPE
    error = refusal(tmp_path, foreign(*names, kind=kind))
    assert error.exit_code == 22
    assert "image archive that airgap did not make" in error.message


def test_any_other_tar_is_refused(tmp_path: Path) -> None:
    """A tar of anything is no bundle."""
    error = refusal(tmp_path, foreign("README.md", "src/main.c"))
    assert error.exit_code == 22
    assert "README.md" in error.message


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    """Exit 10, not a stack."""
    with pytest.raises(ContentNotFoundError, match="no such file"):
        open_bundle(tmp_path / "none.tar")


def test_a_folder_without_a_bundle_is_refused(tmp_path: Path) -> None:
    """There is nothing to open in it, and the hint says what to name."""
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(ContentNotFoundError, match="no bundle in it") as caught:
        open_bundle(tmp_path)
    assert caught.value.hint


def test_a_named_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    """It would block for ever; the hint says how to read one."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(BundleFormatError) as caught:
        open_bundle(path)
    assert "import bundle -" in caught.value.hint


def test_a_file_that_may_not_be_read_is_a_storage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 30 with a hint on permissions; raised here by hand, since root may read everything."""

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    MADE.write(tmp_path)
    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(StorageError, match="Permission denied") as caught:
        open_bundle(tmp_path / "bundle.tar")
    assert caught.value.hint


@pytest.mark.parametrize("fraction", range(1, 20))
def test_a_file_cut_short_is_incomplete(tmp_path: Path, fraction: int) -> None:
    """Wherever it is cut, the exit code is 23."""
    error = refusal(tmp_path, MADE.data[: len(MADE.data) * fraction // 20])
    assert error.exit_code == 23


def test_a_file_cut_short_behind_its_front_says_how_much_is_missing(tmp_path: Path) -> None:
    """The planned layout tells the number of bytes."""
    error = refusal(tmp_path, MADE.data[:-1234])
    assert "1234 of its" in error.message


def test_a_file_that_was_never_finished_is_incomplete(tmp_path: Path) -> None:
    """Zeros where the seal should be mean that nobody sealed it."""
    data = MADE.data[: MADE.layout.placement.seal].ljust(len(MADE.data), b"\0")
    assert "never finished" in refusal(tmp_path, data).message
    assert refusal(tmp_path, bytes(4096)).exit_code == 23


def test_zeros_where_a_manifest_should_be_are_incomplete(tmp_path: Path) -> None:
    """A front that ends too early does not pass as a short bundle."""
    start = MADE.layout.placement.extents[2].offset - members.BLOCK
    error = refusal(tmp_path, MADE.data[:start].ljust(len(MADE.data), b"\0"))
    assert error.exit_code == 23


def test_bytes_behind_the_end_are_refused(tmp_path: Path) -> None:
    """Nothing hides behind the end of the tar."""
    error = refusal(tmp_path, MADE.data + b"more")
    assert error.exit_code == 22
    assert "4 bytes lie behind its end" in error.message
