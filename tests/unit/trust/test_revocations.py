import json

import pytest

from airgap.errors import BundleFormatError, SettingsError, SignatureError
from airgap.oci.digest import Digest
from airgap.oci.document import canonical_bytes
from airgap.trust.keys import PrivateKey
from airgap.trust.revocations import RevocationList, Revocations, RevokedKey, parse_known

REVOKER, OTHER = PrivateKey.generate("ed25519"), PrivateKey.generate("ecdsa-p256")
KEY = Digest.of(b"a key")


def built(serial=1, by=REVOKER):
    return RevocationList.build(serial, [RevokedKey(KEY, "lost")], by)


def changed(**changes):
    document = json.loads(built().to_bytes())
    text = json.loads(document["list"]) | changes
    return canonical_bytes(document | {"list": canonical_bytes(text).decode()})


def test_a_list_comes_back_from_its_document():
    """With what was signed, byte for byte."""
    assert RevocationList.parse(built().to_bytes()) == built()
    assert built().is_signed_by(REVOKER.public)
    assert not built().is_signed_by(OTHER.public)


def test_a_list_that_was_changed_is_signed_by_nobody():
    """One letter is enough."""
    assert not RevocationList.parse(changed(serial=2)).is_signed_by(REVOKER.public)


def test_a_key_is_listed_once_with_its_first_reason():
    """Revoking again says nothing new."""
    found = RevocationList.build(1, [RevokedKey(KEY, "a"), RevokedKey(KEY, "b")], REVOKER)

    assert found.revoked == (RevokedKey(KEY, "a"),)


@pytest.mark.parametrize("reason", ["x" * 201, "two\nlines", "\u202egnp.exe"])
def test_a_reason_is_one_short_line(reason):
    """Nothing that a terminal would obey."""
    with pytest.raises(SettingsError, match="reason"):
        RevocationList.build(1, [RevokedKey(KEY, reason)], REVOKER)


def test_an_odd_reason_from_elsewhere_is_made_visible():
    """It is shown to people."""
    found = RevocationList.parse(changed(revoked=[{"key": str(KEY), "reason": "\u202ex\x1b"}]))

    assert found.revoked[0].reason == "\\u202ex\\x1b"


@pytest.mark.parametrize(
    "changes",
    [
        {"serial": 0},
        {"serial": True},
        {"serial": "1"},
        {"serial": 2**60},
        {"revoked": {}},
        {"revoked": [1]},
        {"revoked": [{"key": "x"}]},
        {"revoked": [{"key": str(KEY), "reason": 1}]},
        {"mediaType": "application/vnd.airgap.catalog.v1+json"},
        {"formatVersion": None},
    ],
)
def test_a_damaged_list_is_refused(changes):
    """As a matter of signatures."""
    with pytest.raises(SignatureError, match="damaged"):
        RevocationList.parse(changed(**changes))


def test_other_things_are_no_lists():
    """Nor is what is too large."""
    for raw in (b"", b"[]", b"{}", b'{"list":1}', b'{"list":"x","signatures":[]}', b"x" * 2**21):
        with pytest.raises(SignatureError):
            RevocationList.parse(raw)


@pytest.mark.parametrize("changes", [{"formatVersion": 2}, {"requires": ["dates"]}])
def test_a_list_of_a_newer_airgap_is_refused_as_such(changes):
    """It is not called damaged."""
    with pytest.raises(BundleFormatError, match="newer"):
        RevocationList.parse(changed(**changes))


def test_what_is_known_comes_back_from_its_file():
    """One list for each revoker."""
    revokers = (REVOKER.public, OTHER.public)
    known = Revocations().learn(built(), revokers).learn(built(7, OTHER), revokers)
    lists = parse_known(known.to_bytes())

    again = Revocations()
    for one in lists:
        again = again.learn(one, revokers)
    assert again == known
    assert len(known.lists) == 2
    assert known.find(KEY) == RevokedKey(KEY, "lost")
    assert known.find(Digest.of(b"")) is None


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", built().to_bytes()])
def test_a_damaged_file_of_what_is_known_is_refused(raw):
    """It is not taken for an empty one."""
    with pytest.raises(SignatureError, match="known revocations"):
        parse_known(raw)
