"""Lock files: what is written is read again, and what is not a lock is refused by name."""

from __future__ import annotations

import time

import pytest

from airgap.errors import BundleFormatError, ExitCode
from airgap.oci import mediatype
from airgap.oci.digest import Digest
from airgap.oci.platform import Platform
from airgap.oci.reference import Reference
from airgap.record.lock import Lock, LockedImage, LockedPlatform
from airgap.record.lock_format import MAX_SIZE, is_lock

ONE, TWO = Digest.of(b"one"), Digest.of(b"two")
IMAGE = LockedImage(
    Reference.parse("registry.example.com/team/app:1.0"),
    ONE,
    mediatype.OCI_INDEX,
    123_456,
    (LockedPlatform("linux/amd64", TWO), LockedPlatform("windows/amd64 (10.0.1)", ONE)),
)
OTHER = LockedImage(Reference.parse(f"nginx@{TWO}"), TWO, mediatype.OCI_MANIFEST, 5)
LOCK = Lock.build([IMAGE, OTHER], [Platform.parse("linux/amd64")])
TEXT = f"""\
# What each name stood for: `airgap export images -f` takes exactly these digests.
version = 1
platforms = ["linux/amd64"]

[[image]]
name = "docker.io/library/nginx@{TWO}"
digest = "{TWO}"
media-type = "application/vnd.oci.image.manifest.v1+json"
size = 5

[[image]]
name = "registry.example.com/team/app:1.0"
digest = "{ONE}"
media-type = "application/vnd.oci.image.index.v1+json"
size = 123456
platforms = [
    {{ platform = "linux/amd64", digest = "{TWO}" }},
    {{ platform = "windows/amd64 (10.0.1)", digest = "{ONE}" }},
]

[end]
"""


def test_a_lock_is_sorted_and_readable():
    """Each thing that can change stands on a line of its own, the images by their names."""
    assert LOCK.to_bytes().decode() == TEXT


@pytest.mark.parametrize("lock", [LOCK, Lock.build([])], ids=["full", "empty"])
def test_what_is_written_is_read_again(lock):
    """Reading gives the value that was written, and writing that gives the same bytes."""
    assert Lock.parse(lock.to_bytes()) == lock
    assert Lock.parse(lock.to_bytes()).to_bytes() == lock.to_bytes()


def test_the_order_in_which_a_lock_is_put_together_does_not_matter():
    """The same images give the same bytes."""
    assert Lock.build([OTHER, IMAGE], LOCK.platforms).to_bytes() == LOCK.to_bytes()


def test_what_people_edit_may_be_in_another_order():
    """Comments, a mark at the start and another order of tables are no reason to refuse a lock."""
    head, *images = TEXT.removesuffix("\n[end]\n").split("\n[[image]]")
    edited = "\ufeff# ours\n" + "\n[[image]]".join([f"{head}\n[end]\n", *reversed(images)])
    assert Lock.parse(edited.encode()) == LOCK


def test_an_image_is_pinned_by_its_digest():
    """The name stays, and the digest says what it stands for."""
    assert str(IMAGE.pinned) == f"registry.example.com/team/app:1.0@{ONE}"


def edited(old, new):
    """The text with a change."""
    assert old in TEXT
    return TEXT.replace(old, new).encode()


REFUSED = {
    "no toml": (b"nginx:1.27\n", "is not TOML"),
    "not utf-8": (b"version = \xff", "is not TOML"),
    "cut short": (TEXT[:-27].encode(), "is not TOML"),
    "cut behind an image": (TEXT.removesuffix("\n[end]\n").encode(), "was cut short"),
    "an end that goes on": (f"{TEXT}x = 1\n".encode(), "was cut short"),
    "no version": (edited("version = 1\n", ""), "no format version"),
    "a version that is a text": (edited("version = 1", 'version = "1"'), "no format version"),
    "a version that is true": (edited("version = 1", "version = true"), "no format version"),
    "a newer version": (edited("version = 1", "version = 2"), "of format version 2"),
    "an unknown key": (edited("version = 1", "version = 1\nmore = 2"), "with the key 'more'"),
    "an unknown key of an image": (edited("size = 5", "size = 5\nx = 1"), "unknown key 'x'"),
    "no name": (edited(f'name = "docker.io/library/nginx@{TWO}"', ""), "must have a name"),
    "no digest": (edited(f'digest = "{ONE}"\nmedia', "media"), "not a digest"),
    "a name that is cut": (edited("docker.io/library/nginx@", "nginx@"), "not the full name"),
    "the digest of another": (edited(f'digest = "{TWO}"\nmedia', f'digest = "{ONE}"\nmedia'), "does not have the digest"),  # noqa: E501
    "a negative size": (edited("size = 5", "size = -5"), "no size"),
    "a size that is true": (edited("size = 5", "size = true"), "no size"),
    "a size without end": (edited("size = 5", f"size = {1 << 70}"), "no size"),
    "no media type": (edited('"application/vnd.oci.image.manifest.v1+json"', '"a\\nb"'), "no media type"),  # noqa: E501
    "images that are none": (b"version = 1\nimage = 3\n[end]\n", "image is not what"),
    "platforms that are none": (b"version = 1\nplatforms = [1]\n[end]\n", "platforms is not what"),
    "a platform that is none": (b'version = 1\nplatforms = ["linux"]\n[end]\n', "not a platform"),
    "a platform with more": (edited('{ platform = "linux/amd64",', '{ x = 1, platform = "linux/amd64",'), "a platform of an image"),  # noqa: E501
    "a name twice": (edited("[end]\n", TEXT.partition("\n\n")[2]), f"has docker.io/library/nginx@{TWO} twice"),  # noqa: E501
    "a name with a letter that looks like another": (edited("team/app", "te\u0430m/app"), "not a reference"),  # noqa: E501
    "a name with a letter that nobody sees": (edited("team/app:1.0", "team/app\u200b:1.0"), "not a reference"),  # noqa: E501
    "a name that turns round": (edited("app:1.0", "app:1.\u202e0"), "not a tag"),
    "a platform that turns round": (edited("(10.0.1)", "\u202e1"), "not a platform"),
    "brackets without end": (b"version = " + b"[" * 1000, "is not TOML"),
    "a line without end": (b"version = 1\n" + b"a." * 100_000 + b"a = 1", "a line with more"),
    "bytes without end": (b"#\n" * (MAX_SIZE // 2 + 1), "has more than"),
}  # fmt: skip


@pytest.mark.parametrize(("raw", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_lock_is_refused(raw, said):
    """The error names the file and what is wrong, in one printable line, and exits with 22."""
    with pytest.raises(BundleFormatError) as caught:
        Lock.parse(raw, name="images.lock")
    assert said in caught.value.message
    assert "images.lock" in caught.value.message
    assert caught.value.message.isprintable()
    assert caught.value.hint
    assert caught.value.exit_code is ExitCode.BUNDLE_FORMAT


def test_a_lock_made_to_take_for_ever_is_read_quickly():
    """Keys with as many dots as the limits allow are refused within seconds."""
    line = b"a." * 500 + b"a = 1\n"
    started = time.monotonic()
    with pytest.raises(BundleFormatError):
        Lock.parse(b"version = 1\n" + line * 4000)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("raw", "is_one"),
    [
        (TEXT.encode(), True),
        (b"version = 7\n", True),
        (b"\xef\xbb\xbfversion = 1\n", True),
        (b"# a list\n\n[[image]]\nname = 1", True),
        (b"# a list\nnginx:1.27\n", False),
        (b"registry.example.com/app:1.0 # version = 1\n", False),
        (b"", False),
        (b"{}", False),
    ],
)
def test_a_lock_is_told_from_a_list(raw, is_one):
    """The first line that says something tells what a file is."""
    assert is_lock(raw) is is_one
