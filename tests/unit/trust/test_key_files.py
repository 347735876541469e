import base64
import os
import stat

import pytest

from airgap.errors import ConflictError, SettingsError, SignatureError, StorageError
from airgap.trust.key_files import (
    MAX_DETACHED,
    find_detached,
    public_path,
    read_detached,
    read_private,
    read_public,
    write_key,
)
from airgap.trust.keys import PrivateKey

KEY = PrivateKey.generate("ed25519")


def never(path):
    raise AssertionError(path)


def test_a_key_is_written_for_its_owner_only(tmp_path):
    """The private half is closed to all others, the public half is not."""
    path = tmp_path / "release.key"
    old = os.umask(0)
    try:
        public = write_key(path, KEY, None)
    finally:
        os.umask(old)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(public.stat().st_mode) == 0o644
    assert public == tmp_path / "release.pub"
    assert read_private(path, never).id == read_public(public).id == KEY.id


def test_a_key_with_a_passphrase_is_opened_by_it(tmp_path):
    """It is asked for only where there is one."""
    path = tmp_path / "release.key"
    write_key(path, KEY, "word")

    assert read_private(path, lambda asked: "word" if asked == path else "").id == KEY.id
    with pytest.raises(SettingsError, match="does not open"):
        read_private(path, lambda _: "another")


@pytest.mark.parametrize("name", ["release.key", "release.pub"])
@pytest.mark.parametrize("kind", ["file", "link"])
def test_nothing_that_is_there_is_replaced(tmp_path, name, kind):
    """Neither a key nor a public half, also where a link leads nowhere."""
    there = tmp_path / name
    there.write_text("old") if kind == "file" else there.symlink_to("nowhere")

    with pytest.raises(ConflictError, match=f"{name} is there already"):
        write_key(tmp_path / "release.key", KEY, None)
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]


def test_a_key_that_cannot_be_written_is_an_error_of_storage(tmp_path):
    """Such as in a folder that is not there."""
    with pytest.raises(StorageError):
        write_key(tmp_path / "no/release.key", KEY, None)


def test_the_public_half_lies_beside_the_key(tmp_path):
    """Under the same name, whatever that is."""
    assert public_path(tmp_path / "a.key").name == "a.pub"
    assert public_path(tmp_path / "a.pem").name == "a.pem.pub"
    assert public_path(tmp_path / "a").name == "a.pub"


def test_a_key_file_that_is_not_there_is_a_matter_of_settings(tmp_path):
    """And so is one that cannot be read."""
    for path in (tmp_path / "no.pub", tmp_path):
        with pytest.raises(SettingsError, match="cannot be read"):
            read_public(path)


def test_signatures_beside_a_bundle_are_found(tmp_path):
    """By the bundle's whole name, or by any name in a folder of volumes."""
    names = ["a.tar.sig", "a.tar.x.sig", "a.tar.sigstore.json", "ab.tar.sig", "a.sig", "a.tar.txt"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "a.tar.folder.sig").mkdir()
    bundle = tmp_path / "a.tar"
    bundle.touch()

    found = [path.name for path in find_detached([bundle])]
    assert found == ["a.tar.sig", "a.tar.sigstore.json", "a.tar.x.sig"]
    assert len(find_detached([tmp_path])) == 5
    assert find_detached([tmp_path / "no.tar", tmp_path / "no/no.tar"]) == ()


def test_too_many_files_that_look_like_signatures_are_refused(tmp_path):
    """Whoever fills a stick with them does not make each of them be tried."""
    for number in range(MAX_DETACHED + 1):
        (tmp_path / f"a.tar.{number}.sig").touch()
    (tmp_path / "a.tar").touch()

    with pytest.raises(SettingsError, match="look like signatures"):
        find_detached([tmp_path / "a.tar"])


def test_several_signature_files_are_read_together(tmp_path):
    """Each names itself where it is none."""
    good, bad = tmp_path / "a.sig", tmp_path / "b.sig"
    good.write_bytes(base64.b64encode(KEY.sign(b"data")))
    bad.write_text("?")

    assert read_detached([good, good]).loose == (KEY.sign(b"data"),)
    with pytest.raises(SignatureError, match=r"b\.sig is not a signature"):
        read_detached([good, bad])
