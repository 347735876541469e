import base64
import json

import pytest

from airgap.errors import BundleFormatError, SignatureError
from airgap.oci.digest import Digest
from airgap.oci.document import canonical_bytes
from airgap.trust.keys import PrivateKey
from airgap.trust.signatures import MEDIA_TYPE, KeySignature, Signatures, parse_detached

KEYS = [PrivateKey.generate("ed25519"), PrivateKey.generate("ecdsa-p256")]
DATA = b'{"catalog":1}'


def document(**changes):
    return canonical_bytes(json.loads(Signatures.sign(DATA, KEYS).to_bytes()) | changes)


def test_signatures_come_back_from_their_document():
    """Sorted by key, each with its bytes."""
    signed = Signatures.sign(DATA, KEYS)

    assert Signatures.parse(signed.to_bytes()) == signed
    assert {s.key for s in signed.by_key} == {key.id for key in KEYS}
    assert list(signed.by_key) == sorted(signed.by_key)


def test_the_same_inputs_give_the_same_document():
    """Whatever the order of the keys, and with one of them given twice."""
    wanted = Signatures.sign(DATA, KEYS).to_bytes()

    assert Signatures.sign(DATA, [*reversed(KEYS), KEYS[0]]).to_bytes() == wanted


def test_nothing_is_written_for_no_signatures():
    """An unsigned bundle has no document."""
    assert Signatures().to_bytes() == b""
    assert Signatures.parse(b"") == Signatures()
    assert Signatures().is_empty


def test_a_document_keeps_sigstore_bundles_and_revocations():
    """Both travel as they are."""
    revocations = canonical_bytes({"list": "x", "signatures": []})
    signed = Signatures(sigstore=(b'{"a":1}',), revocations=revocations)

    assert Signatures.parse(signed.to_bytes()) == signed


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"signatures": None}, "list of objects"),
        ({"signatures": [1]}, "list of objects"),
        ({"signatures": [{}]}, "not a digest"),
        ({"signatures": [{"key": str(Digest.of(b"")), "signature": "?"}]}, "base64"),
        ({"signatures": [{"key": str(Digest.of(b"")), "signature": ""}]}, "base64"),
        ({"signatures": [{"key": str(Digest.of(b"")), "signature": "A" * 400}]}, "base64"),
        ({"signatures": [{"key": str(Digest.of(b"")), "signature": 1}]}, "base64"),
        ({"sigstore": {}}, "sigstore must be"),
        ({"sigstore": [{}] * 65}, "more than 64"),
        ({"revocations": []}, "revocations must be"),
        ({"mediaType": "application/json"}, "another kind"),
        ({"formatVersion": "1"}, "no format version"),
    ],
)
def test_a_damaged_document_is_refused(changes, says):
    """With the reason, as a matter of signatures."""
    with pytest.raises(SignatureError, match=says):
        Signatures.parse(document(**changes))


@pytest.mark.parametrize("changes", [{"formatVersion": 2}, {"requires": ["post-quantum"]}])
def test_a_document_of_a_newer_airgap_is_refused_as_such(changes):
    """It is not called damaged."""
    with pytest.raises(BundleFormatError, match="newer format"):
        Signatures.parse(document(**changes))


@pytest.mark.parametrize(
    "raw",
    [
        b"{" * 100_000,
        b"[]",
        b'{"a":' * 100 + b"1" + b"}" * 100,
        b"\xff",
        b" " * (1024 * 1024 + 1),
        document() + b"\n",
        b'{"formatVersion":1,"formatVersion":1}',
    ],
)
def test_huge_deep_and_odd_documents_are_refused(raw):
    """Quickly, before anything is believed."""
    with pytest.raises(SignatureError):
        Signatures.parse(raw)


def test_a_key_that_stands_twice_in_a_document_is_refused():
    """So nobody makes the reader try one trusted key ten thousand times."""
    entries = json.loads(document())["signatures"]

    with pytest.raises(SignatureError, match="each key once"):
        Signatures.parse(document(signatures=[entries[0], entries[0]]))
    with pytest.raises(SignatureError, match="sorted"):
        Signatures.parse(document(signatures=entries[::-1]))


def test_merged_signatures_are_all_there_once():
    """Those in the bundle and those beside it."""
    one, two = (Signatures.sign(DATA, [key]) for key in KEYS)
    wrong = Signatures((KeySignature(KEYS[0].id, b"wrong"),))

    assert one.merge(two) == Signatures.sign(DATA, KEYS)
    assert one.merge(one) == one
    assert len(one.merge(wrong).by_key) == 2


def test_the_first_list_of_revoked_keys_counts_where_signatures_are_merged():
    """What lies beside a bundle does not replace the list that came in it."""
    own, other = Signatures(revocations=b'{"own":1}'), Signatures(revocations=b'{"other":1}')

    assert own.merge(other).revocations == own.revocations
    assert Signatures().merge(other).revocations == other.revocations


def test_a_detached_signature_is_read_in_every_form():
    """Base64 with or without line breaks, the bytes of openssl, and airgap's own document."""
    for key in KEYS:
        value = key.sign(DATA)
        text = base64.b64encode(value)
        for raw in (text, text + b"\n", text[:40] + b"\r\n" + text[40:] + b"\n", value):
            assert parse_detached(raw, what="a.sig").loose == (value,)
        own = Signatures.sign(DATA, [key])
        assert parse_detached(own.to_bytes() + b"\n", what="a.sig") == own


def test_a_sigstore_bundle_beside_a_bundle_is_kept_as_it_is():
    """Who signed it is found out by whoever judges it."""
    raw = b'{ "verificationMaterial": {}, "a": 1 }'

    assert parse_detached(raw, what="a.sigstore.json").sigstore == (
        b'{"a":1,"verificationMaterial":{}}',
    )


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"hello",
        b"{",
        b"A" * 2_000_000,
        b"\x30\xff" * 200,
        b"-----BEGIN PUBLIC KEY-----\n",
        b"{}x",
    ],
)
def test_what_is_no_detached_signature_is_refused(raw):
    """By the name of its file."""
    with pytest.raises(SignatureError, match=r"a\.sig"):
        parse_detached(raw, what="a.sig")


def test_the_document_names_its_kind():
    """Nothing else that is signed can be taken for it."""
    assert json.loads(document())["mediaType"] == MEDIA_TYPE
