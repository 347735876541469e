"""References from arguments and list files."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from airgap.cli.references import MAX_LINE, read_references
from airgap.errors import SettingsError


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
    assert names(*read_references([], [path])) == [
        "docker.io/library/nginx:1",
        "docker.io/library/redis:latest",
        "ghcr.io/a/b:c",
    ]


def test_arguments_come_before_lists_and_each_reference_once(listed) -> None:
    """What is named twice is taken once, in the order in which it was named first."""
    found = read_references(
        ["b/b:1", "a/a"], [listed(b"a/a:latest\nc/c\n"), listed(b"b/b:1\n", "2")]
    )
    assert names(*found) == ["docker.io/b/b:1", "docker.io/a/a:latest", "docker.io/c/c:latest"]


def test_standard_input_is_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dash reads the list from standard input."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"nginx\n")))
    assert names(*read_references([], [Path("-")])) == ["docker.io/library/nginx:latest"]


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
        read_references([], [path])
    assert f"{path}, {said}" in caught.value.message
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 600


def test_no_references_at_all_is_an_error(listed) -> None:
    """A list of comments is no list of images."""
    with pytest.raises(SettingsError, match="no references"):
        read_references([], [listed(b"# nothing\n")])


@pytest.mark.parametrize("name", ["absent.txt", "."])
def test_a_list_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    """A missing list or a folder is a clear error."""
    with pytest.raises(SettingsError, match="cannot be read"):
        read_references([], [tmp_path / name])


def test_standard_input_that_cannot_be_read_is_said_to_be(monkeypatch, tmp_path: Path) -> None:
    """A stream that fails is no bug of ours."""
    with (tmp_path / "out").open("wb", buffering=0) as unreadable:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=unreadable))
        with pytest.raises(SettingsError, match="cannot be read"):
            read_references([], [Path("-")])
