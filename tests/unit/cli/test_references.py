"""References from arguments and list files."""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from airgap.cli.list_file import MAX_LINE
from airgap.cli.references import read_wanted
from airgap.errors import SettingsError
from airgap.oci.digest import Digest
from airgap.oci.mediatype import OCI_INDEX
from airgap.oci.platform import Platform
from airgap.oci.reference import Reference
from airgap.record.lock import Lock, LockedImage


@pytest.fixture
def listed(tmp_path: Path):
    """Writes a list and gives its path."""

    def write(content: bytes, name: str = "images.txt") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def names(*found: object) -> list[str]:
    return [str(reference) for reference in found]


def test_a_list_has_comments_and_blank_lines(listed) -> None:
    """Blanks around, CRLF, a byte order mark and a last line without an end are fine, too."""
    path = listed(
        b"\xef\xbb\xbf# all of them\r\n\r\n  nginx:1  \r\n\t#x\nredis # cache\nghcr.io/a/b:c"
    )
    assert names(*read_wanted([], [path]).references) == [
        "docker.io/library/nginx:1",
        "docker.io/library/redis:latest",
        "ghcr.io/a/b:c",
    ]


def test_arguments_come_before_lists_and_each_reference_once(listed) -> None:
    """What is named twice is taken once, in the order in which it was named first."""
    found = read_wanted(["b/b:1", "a/a"], [listed(b"a/a:latest\nc/c\n"), listed(b"b/b:1\n", "2")])
    assert names(*found.references) == [
        "docker.io/b/b:1",
        "docker.io/a/a:latest",
        "docker.io/c/c:latest",
    ]


def test_standard_input_is_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dash reads the list from standard input."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"nginx\n")))
    assert names(*read_wanted([], [Path("-")]).references) == ["docker.io/library/nginx:latest"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"nginx\n\nNGINX:\n", "line 3: "),
        (b"nginx redis\n", "line 1: 'nginx redis' has blanks in it"),
        (b"\x7fELF\x02\x01\xff\xfe", "line 1 is not text in UTF-8"),
        (b"PK\x03\x04\0\0\0", "line 1: "),
        (b"x" * (MAX_LINE + 1), f"line 1 has more than {MAX_LINE} bytes"),
        (b"https://ghcr.io/a\n", "line 1: "),
        (b"a\n" + b"\0" * 100, "line 2: "),
    ],
)
def test_nonsense_is_refused_with_file_and_line(listed, content: bytes, said: str) -> None:
    """An error names the file and the line and stays on one line."""
    path = listed(content)
    with pytest.raises(SettingsError) as caught:
        read_wanted([], [path])
    assert f"{path}, {said}" in caught.value.message
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 600


def test_no_references_at_all_is_an_error(listed) -> None:
    """A list of comments is no list of images."""
    with pytest.raises(SettingsError, match="no references"):
        read_wanted([], [listed(b"# nothing\n")])


@pytest.mark.parametrize("name", ["absent.txt", "."])
def test_a_list_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    """A missing list or a folder is a clear error."""
    with pytest.raises(SettingsError, match="cannot be read"):
        read_wanted([], [tmp_path / name])


def test_standard_input_that_cannot_be_read_is_said_to_be(monkeypatch, tmp_path: Path) -> None:
    """A stream that fails is no bug of ours."""
    with (tmp_path / "out").open("wb", buffering=0) as unreadable:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=unreadable))
        with pytest.raises(SettingsError, match="cannot be read"):
            read_wanted([], [Path("-")])


LOCK = Lock.build(
    [LockedImage(Reference.parse("docker.io/library/nginx:1"), Digest.of(b"nginx"), OCI_INDEX, 5)],
    [Platform.parse("linux/amd64")],
)


def test_a_lock_file_among_lists_pins_its_images(listed) -> None:
    """What is in a file tells that it is a lock; comments before it do not matter."""
    lock = listed(b"# ours\n\n" + LOCK.to_bytes(), "a.txt")
    wanted = read_wanted(["alpine:3"], [listed(b"redis\n"), lock])
    assert names(*wanted.references) == [
        "docker.io/library/alpine:3",
        "docker.io/library/redis:latest",
        f"docker.io/library/nginx:1@{Digest.of(b'nginx')}",
    ]
    assert wanted.locks == (LOCK,)
    assert wanted.platforms == LOCK.platforms
    assert read_wanted(["alpine:3"], [listed(b"redis\n"), lock]).references == wanted.references


def test_what_looks_like_a_lock_further_down_is_a_mistake_in_a_list(listed) -> None:
    """A list stays a list after its first name."""
    with pytest.raises(SettingsError, match=r"line 3: 'version = 1' has blanks"):
        read_wanted([], [listed(b"redis\n# more\nversion = 1\n")])


def test_many_comments_are_read_quickly(listed) -> None:
    """A list of comments alone is gone through once."""
    started = time.monotonic()
    path = listed(b"#\n" * 500_000 + b"redis\n")
    assert names(*read_wanted([], [path]).references) == ["docker.io/library/redis:latest"]
    assert time.monotonic() - started < 10


def test_locks_for_different_platforms_leave_the_choice_to_flags(listed) -> None:
    """One platform or all: somebody must say which."""
    every = Lock.build(LOCK.images)
    locks = [listed(lock.to_bytes(), str(n)) for n, lock in enumerate((LOCK, every))]
    wanted = read_wanted([], locks)
    assert len(wanted.references) == 1
    with pytest.raises(SettingsError) as caught:
        _ = wanted.platforms
    assert "--platform" in str(caught.value.hint)
