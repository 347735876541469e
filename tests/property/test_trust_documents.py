"""Whatever bytes stand where signatures, keys and lists should: an error of ours, or a value."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.errors import AirgapError
from airgap.trust.keys import PrivateKey, PublicKey
from airgap.trust.revocations import RevocationList, Revocations, RevokedKey, parse_known
from airgap.trust.signatures import Signatures, parse_detached
from airgap.trust.trust_file import TrustFile
from tests.support.bundles import change_field, flip

KEY, REVOKER = PrivateKey.generate("ed25519"), PrivateKey.generate("ecdsa-p256")
DATA = b'{"a":1}'
LIST = RevocationList.build(1, [RevokedKey(KEY.id, "lost")], REVOKER)
KNOWN = Revocations().learn(LIST, [REVOKER.public])
SIGNED = Signatures.sign(DATA, [KEY, REVOKER], revocations=LIST.to_bytes())
READERS = {
    "signatures": (Signatures.parse, SIGNED.to_bytes()),
    "detached": (lambda raw: parse_detached(raw, what="a"), SIGNED.to_bytes()),
    "revocations": (RevocationList.parse, LIST.to_bytes()),
    "known": (parse_known, KNOWN.to_bytes()),
    "trust file": (
        lambda raw: TrustFile.parse(raw, what="a"),
        b'require = 1\n[[key]]\nname = "a"\nfile = "b"\nnot-after = 2026-01-01\n',
    ),
    "public key": (PublicKey.parse, KEY.public.to_pem()),
    "private key": (PrivateKey.parse, REVOKER.to_pem()),
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def read(name: str, raw: bytes) -> None:
    """One line of an error, or a value."""
    said = ""
    try:
        READERS[name][0](raw)
    except AirgapError as error:
        said = error.message
    assert said.isprintable()


@pytest.mark.parametrize("name", READERS)
def test_what_is_changed_here_is_right_before(name):
    """So that a change is judged, and not something that is refused anyway."""
    reader, raw = READERS[name]
    reader(raw)


@pytest.mark.parametrize("name", READERS)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_read(name, raw):
    """No other exception comes out."""
    read(name, raw)


@pytest.mark.parametrize("name", READERS)
@given(st.data())
def test_one_turned_bit_is_refused_or_read(name, data):
    """Anywhere in a document that was right."""
    raw = READERS[name][1]
    offset = data.draw(st.integers(0, len(raw) - 1))
    read(name, flip(raw, offset, data.draw(st.integers(0, 7))))


@pytest.mark.parametrize("name", ["signatures", "detached", "revocations", "known"])
@given(st.integers(0, 40), VALUES)
def test_any_value_in_any_place_is_refused_or_read(name, number, value):
    """JSON that is well formed and means something else."""
    read(name, change_field(READERS[name][1], number, value))


@given(st.data())
def test_no_change_of_a_signature_verifies(data):
    """A signature with one bit turned is none, for either algorithm."""
    for key in (KEY, REVOKER):
        signature = key.sign(DATA)
        offset = data.draw(st.integers(0, len(signature) - 1))
        changed = flip(signature, offset, data.draw(st.integers(0, 7)))
        assert not key.public.verify(DATA, changed)


@given(st.data())
def test_a_list_with_any_change_is_signed_by_nobody(data):
    """The text that was signed is the one that is read."""
    text = json.loads(LIST.to_bytes())["list"]
    offset = data.draw(st.integers(0, len(text) - 1))
    changed = text[:offset] + data.draw(st.characters(codec="ascii")) + text[offset + 1 :]
    raw = json.dumps(json.loads(LIST.to_bytes()) | {"list": changed}).encode()
    try:
        found = RevocationList.parse(raw)
    except AirgapError:
        return
    assert found.is_signed_by(REVOKER.public) == (changed == text)
