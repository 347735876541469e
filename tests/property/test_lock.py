"""Whatever a lock holds is read again, and whatever a file holds is read or refused."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airgap.errors import BundleFormatError
from airgap.oci.digest import Digest
from airgap.oci.platform import Platform
from airgap.oci.reference import Reference
from airgap.record.lock import MAX_NUMBER, Lock, LockedImage, LockedPlatform
from airgap.record.lock_format import is_lock

digests = st.builds(
    Digest.of, st.binary(max_size=4), algorithm=st.sampled_from(["sha256", "sha512"])
)
printable = st.text(max_size=30).filter(str.isprintable)
media_types = st.from_regex(r"[!-~]([ -~]{0,40}[!-~])?", fullmatch=True)
platforms = st.builds(LockedPlatform, platform=printable.filter(bool), digest=digests)
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,10}", fullmatch=True)
repositories = st.from_regex(r"[a-z0-9]{1,6}(/[a-z0-9]{1,6}){0,2}", fullmatch=True)


@st.composite
def images(draw):
    """An image by tag, or by its digest alone."""
    digest = draw(digests)
    name = f"registry.example.com/{draw(repositories)}"
    by_digest = draw(st.booleans())
    reference = Reference.parse(f"{name}@{digest}" if by_digest else f"{name}:{draw(tags)}")
    return LockedImage(
        reference,
        digest,
        draw(media_types),
        draw(st.integers(0, MAX_NUMBER)),
        tuple(draw(st.lists(platforms, max_size=3))),
    )


locks = st.builds(
    Lock.build,
    st.lists(images(), max_size=4, unique_by=lambda image: image.reference.tagged),
    st.lists(st.sampled_from([Platform("linux", "amd64"), Platform("linux", "arm", "v7")])),
)


@given(lock=locks)
def test_what_is_written_is_read_again(lock):
    """The value and the bytes come back, whatever characters the texts have."""
    raw = lock.to_bytes()
    assert is_lock(raw)
    assert Lock.parse(raw) == lock
    assert Lock.parse(raw).to_bytes() == raw


@given(lock=locks, data=st.data())
def test_what_is_changed_is_read_or_refused(lock, data):
    """A changed or cut file is another lock or an error that names it, and never anything else."""
    raw = bytearray(lock.to_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    said = ""
    try:
        found = Lock.parse(bytes(raw), name="images.lock")
    except BundleFormatError as error:
        said = error.message
    if said:
        assert "images.lock" in said
        assert said.isprintable()
    else:
        assert Lock.parse(found.to_bytes()) == found


@given(lock=locks, data=st.data())
def test_a_cut_lock_is_refused(lock, data):
    """No lock that lost its end is taken for a shorter one."""
    raw = lock.to_bytes()
    end = data.draw(st.integers(0, len(raw) - 2))
    try:
        Lock.parse(raw[:end])
    except BundleFormatError:
        return
    raise AssertionError(f"{raw[:end]!r} was taken for a lock")


@given(raw=st.binary(max_size=300))
def test_noise_is_refused(raw):
    """Whatever bytes these are, they are refused as what they are."""
    try:
        Lock.parse(raw)
    except BundleFormatError:
        return
    raise AssertionError(f"{raw!r} was taken for a lock")
