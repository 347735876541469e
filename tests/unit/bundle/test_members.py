"""Tar headers, compared with Python's own tarfile."""

from __future__ import annotations

import io
import tarfile

import pytest

from airgap.bundle import members
from airgap.bundle.members import Header
from airgap.errors import BundleFormatError
from airgap.oci.digest import Digest
from airgap.oci.layout import blob_path
from tests.support.bundles import reheader

LONG = blob_path(Digest.of(b"x", "sha512"))


@pytest.mark.parametrize(
    "name", ["oci-layout", "a" * 100, "a" * 101, LONG, "blobs/sha256/" + "e" * 64]
)
@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 8**11 - 1, 8**11, 1 << 53])
def test_tarfile_reads_the_header(name: str, size: int) -> None:
    """Python's tarfile reads name, size and the fixed fields of every header, also above 8 GiB."""
    head = members.header(name, size)
    assert len(head) % members.BLOCK == 0
    with tarfile.open(fileobj=io.BytesIO(head + members.END)) as tar:
        info = tar.next()
    assert info is not None
    assert (info.name, info.size, info.type) == (name, size, tarfile.REGTYPE)
    assert (info.mode, info.uid, info.gid, info.mtime) == (0o644, 0, 0, 0)
    assert (info.uname, info.gname) == ("", "")


@pytest.mark.parametrize("size", [0, 700, 8**11 - 1])
def test_tarfile_writes_the_same_header(size: int) -> None:
    """For a short name and a size below 8 GiB, it is tarfile's but for the device numbers."""
    info = tarfile.TarInfo("index.json")
    info.size = size
    theirs = reheader(info.tobuf(tarfile.USTAR_FORMAT), {329: b"0000000\0" * 2})
    assert members.header("index.json", size) == theirs


def test_own_header_is_read() -> None:
    """What is written is read again: name, size and kind."""
    assert members.parse_header(members.header("a/b", 123)) == Header("a/b", 123, "0")


def test_pax_header_is_read() -> None:
    """A pax header holds the long name and the large size as records."""
    head = members.header(LONG, 1 << 40)
    pax = members.parse_header(head[:512])
    assert pax is not None
    assert pax.kind == "x"
    assert members.pax_records(head[512 : 512 + pax.size]) == {"path": LONG, "size": str(1 << 40)}
    plain = members.parse_header(head[-512:])
    assert plain == Header(LONG[:100], 0, "0")


def test_prefix_is_part_of_the_name() -> None:
    """A name that other tools split into prefix and name is put together again."""
    block = reheader(members.header("name", 0), {345: b"some/folder"})
    assert members.parse_header(block) == Header("some/folder/name", 0, "0")


def test_zeros_end_a_tar() -> None:
    """A block of zeros is no header, and the end is two of them."""
    assert members.parse_header(bytes(512)) is None
    assert bytes(1024) == members.END


@pytest.mark.parametrize(("size", "fill"), [(0, 0), (1, 511), (511, 1), (512, 0), (513, 511)])
def test_padding(size: int, fill: int) -> None:
    """Content is filled up to whole blocks with zeros."""
    assert members.padding(size) == bytes(fill)
    assert members.padded(size) == size + fill


@pytest.mark.parametrize(
    "block",
    [
        b"",
        bytes(511),
        b"x" * 512,
        members.header("a", 1)[:-1] + b"\1",
        members.header("b", 1).replace(b"b", b"a", 1),
        reheader(members.header("a", 1), {257: b"ustaR"}),
        reheader(members.header("a", 1), {124: b"0000000000x"}),
        reheader(members.header("a", 1), {124: b"00000000008"}),
        reheader(members.header("a", 1), {124: b"\x80" + bytes(10) + b"\1"}),
        reheader(members.header("a", 1), {124: b" " * 12}),
        reheader(members.header("a", 1), {0: b"\xff\xfe"}),
    ],
)
def test_damaged_headers(block: bytes) -> None:
    """A header that is cut, altered, of another tar or with nonsense for a number is refused."""
    with pytest.raises(BundleFormatError):
        members.parse_header(block)


@pytest.mark.parametrize(
    "data",
    [
        b"5 a=b\n",
        b"7 a=b\n",
        b"6 a=b ",
        b"0 a=b\n",
        b"-6 a=b\n",
        b"6 a-b\n",
        b"a=b\n",
        b"6 a=b\n6 a=c\n",
        b"6 a=\xff\n",
        b"\xb2 a=b\n",
        b"99999999999999999999 a=b\n",
        b"9" * 5000 + b" a=b\n",
        b"6 a=b\n" * 20_000,
    ],
)
def test_malformed_pax_records(data: bytes) -> None:
    """Pax records with wrong lengths, without a form, twice or too many are refused."""
    with pytest.raises(BundleFormatError):
        members.pax_records(data)


def test_pax_record_counts_itself() -> None:
    """The length of a record counts its own digits, also where they grow by one."""
    for length in range(1, 200):
        head = members.header("n" * (100 + length), 0)
        pax = members.parse_header(head[:512])
        assert pax is not None
        assert members.pax_records(head[512 : 512 + pax.size]) == {"path": "n" * (100 + length)}


@pytest.mark.parametrize("name", ["a", "a" * 100, "a" * 101, "a" * 600])
@pytest.mark.parametrize("size", [0, 513, 8**11 - 1, 8**11])
def test_the_size_of_a_header_is_that_of_the_one_that_is_made(name: str, size: int) -> None:
    """With a pax header where the name or the size takes one."""
    assert members.header_size(name, size) == len(members.header(name, size))
