"""Signatures without a key: judged offline, by a trusted root that is given."""

from __future__ import annotations

import base64
import json
import socket
import sys
from datetime import UTC, datetime, timedelta

import pytest

from airgap.errors import SettingsError, SignatureError
from airgap.oci.document import canonical_bytes
from airgap.trust.keyless import MAX_ROOT, KeylessIdentity
from airgap.trust.policy import Trust
from airgap.trust.signatures import Signatures
from airgap.trust.trust_files import PolicySource, load_policy
from tests.support.sigstore import IDENTITY, ISSUER, SIGNED_AT, Sigstore

pytest.importorskip("sigstore")
DATA = b'{"what":"a catalog"}'
NOW = datetime(2030, 1, 1, tzinfo=UTC)
"""Long after the certificate's ten minutes: the verifier's clock does not count."""


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Whoever asks the network fails, and the test with it."""
    asked = []

    def refuse(*arguments, **__):
        asked.append(arguments)
        raise OSError("there is no network")

    for name in ("create_connection", "getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, refuse)
    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    yield
    assert asked == []


@pytest.fixture(scope="module")
def sigstore():
    """A Sigstore of our own."""
    return Sigstore()


@pytest.fixture
def root(sigstore, tmp_path):
    """Its trusted root."""
    path = tmp_path / "trusted_root.json"
    path.write_bytes(sigstore.root())
    return path


def problem(root, bundle, *, data=DATA, identity=IDENTITY, issuer=ISSUER):
    """What is found wrong with a bundle."""
    raw = bundle if isinstance(bundle, bytes) else json.dumps(bundle).encode()
    return KeylessIdentity("release", identity, issuer, root).find_problem(data, raw, NOW)


STAMPED = pytest.mark.parametrize("is_stamped", [False, True], ids=["log-time", "time-stamp"])


@STAMPED
@pytest.mark.parametrize("identity", [IDENTITY, "https://ci.example.com/team/app@refs/tags/v1"])
def test_a_right_signature_counts(sigstore, root, identity, is_stamped):
    """Of a person or of a job, by the older and the newer log, years later, without a network."""
    bundle = sigstore.sign(DATA, identity=identity, is_stamped=is_stamped)
    assert problem(root, bundle, identity=identity) is None


def test_the_newer_form_of_the_issuer_is_enough(tmp_path):
    """Fulcio means to leave the older extension away one day."""
    instance = Sigstore(has_new_issuer_only=True)
    path = tmp_path / "root.json"
    path.write_bytes(instance.root())
    bundle = instance.sign(DATA)
    assert problem(path, bundle) is None
    assert "vouches" in (problem(path, bundle, issuer="https://other.example.com") or "")


def test_what_was_changed_after_signing_does_not_count(sigstore, root):
    """One byte of the catalog is another catalog."""
    assert "digest mismatch" in (problem(root, sigstore.sign(DATA), data=DATA + b" ") or "")


def test_a_digest_that_is_made_to_fit_does_not_help(sigstore, root):
    """The signature itself is of the catalog, whatever the bundle says that it is of."""
    bundle, other = sigstore.sign(DATA), sigstore.sign(DATA + b" ")
    bundle["messageSignature"]["messageDigest"] = other["messageSignature"]["messageDigest"]
    assert "invalid" in (problem(root, bundle, data=DATA + b" ") or "")


@pytest.mark.parametrize(
    ("who", "text"),
    [
        ({"identity": "mallory@example.com"}, "do not match mallory@example.com"),
        ({"identity": "release@example.co"}, "do not match"),
        ({"issuer": "https://other.example.com"}, "is not https://other.example.com that vouches"),
    ],
)
def test_another_identity_or_issuer_does_not_count(sigstore, root, who, text):
    """The same log takes signatures of everybody: who signed must be looked at."""
    assert text in (problem(root, sigstore.sign(DATA), **who) or "")


def test_another_root_does_not_count(root):
    """Whoever runs a Sigstore of their own can vouch for anybody in it, and only there."""
    assert problem(root, Sigstore().sign(DATA)) is not None


@pytest.mark.parametrize("part", ["authority", "certificates", "log", "time"])
def test_each_key_of_the_root_counts(sigstore, root, part):
    """With one of the keys exchanged nothing is proved any more."""
    parts = {name: getattr(sigstore, name) for name in ("authority", "certificates", "log", "time")}
    assert problem(root, Sigstore(**parts).sign(DATA, is_stamped=part == "time")) is None
    forged = Sigstore(**(parts | {part: getattr(Sigstore(), part)}))
    assert problem(root, forged.sign(DATA, is_stamped=part == "time")) is not None


@STAMPED
@pytest.mark.parametrize("late", [timedelta(hours=1), timedelta(hours=-1)])
def test_a_certificate_that_was_not_valid_when_it_was_used_does_not_count(
    sigstore, root, late, is_stamped
):
    """A stolen key of an old certificate is of no use: others say when it was used."""
    bundle = sigstore.sign(DATA, logged_at=SIGNED_AT + late, is_stamped=is_stamped)
    assert "valid" in (problem(root, bundle) or "")


def _entry(bundle):
    return bundle["verificationMaterial"]["tlogEntries"][0]


def _flipped(text):
    raw = bytearray(base64.b64decode(text))
    raw[-1] ^= 1
    return base64.b64encode(raw).decode()


def _change(bundle, change):
    entry = _entry(bundle)
    proof = entry["inclusionProof"]
    match change:
        case "time":
            entry["integratedTime"] = str(int(entry["integratedTime"]) + 1)
        case "promise":
            promise = entry["inclusionPromise"]
            promise["signedEntryTimestamp"] = _flipped(promise["signedEntryTimestamp"])
        case "proof":
            proof["hashes"][0] = _flipped(proof["hashes"][0])
        case "root":
            proof["rootHash"] = _flipped(proof["rootHash"])
        case "checkpoint":
            note = proof["checkpoint"]["envelope"]
            proof["checkpoint"]["envelope"] = note.replace("\n3\n", "\n4\n")
        case "no-proof":
            del entry["inclusionProof"]
        case "no-promise":
            del entry["inclusionPromise"]
        case "no-entry":
            bundle["verificationMaterial"]["tlogEntries"] = []
        case "two-entries":
            bundle["verificationMaterial"]["tlogEntries"] *= 2
        case "signature":
            message = bundle["messageSignature"]
            message["signature"] = _flipped(message["signature"])
        case "certificate":
            certificate = bundle["verificationMaterial"]["certificate"]
            certificate["rawBytes"] = _flipped(certificate["rawBytes"])


@pytest.mark.parametrize(
    "change",
    [
        "time",
        "promise",
        "proof",
        "root",
        "checkpoint",
        "no-proof",
        "no-promise",
        "no-entry",
        "two-entries",
        "signature",
        "certificate",
    ],
)
def test_no_part_of_a_bundle_can_be_changed(sigstore, root, change):
    """Each part is proved by another one: log, promise, certificate and signature."""
    bundle = sigstore.sign(DATA)
    assert problem(root, bundle) is None
    _change(bundle, change)
    assert problem(root, bundle)


def test_a_time_stamp_cannot_be_left_out_or_taken_from_elsewhere(sigstore, root):
    """Without a time of somebody else's, the certificate proves nothing."""
    bundle, other = (sigstore.sign(DATA, is_stamped=True) for _ in range(2))
    material = bundle["verificationMaterial"]
    stamps = material.pop("timestampVerificationData")
    assert problem(root, bundle)
    material["timestampVerificationData"] = other["verificationMaterial"][
        "timestampVerificationData"
    ]
    assert "verified time" in (problem(root, bundle) or "")
    material["timestampVerificationData"] = stamps
    assert problem(root, bundle) is None


def test_the_entry_of_another_signature_does_not_count(sigstore, root):
    """What the log holds must be this signature by this certificate."""
    bundle, other = sigstore.sign(DATA), sigstore.sign(DATA)
    bundle["verificationMaterial"]["tlogEntries"] = [_entry(other)]
    assert "inconsistent" in (problem(root, bundle) or "")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b'{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}',
        b'{"mediaType":"application/vnd.dev.sigstore.bundle.v9.9+json"}',
        b"[" * 10_000,
    ],
)
def test_hostile_bundles_prove_nothing(root, raw):
    """Whatever a bundle holds, it is judged and does not break the run."""
    assert problem(root, raw)


def test_problems_are_one_visible_line(sigstore, root):
    """What a certificate says is shown without what a terminal would obey."""
    bundle = sigstore.sign(DATA, identity="https://x.example.com/%1b[31m")
    said = problem(root, bundle) or ""
    assert said.isprintable()
    assert len(said) < 400


@pytest.mark.parametrize("raw", [b"", b"{}", b"not json", b'{"mediaType":"something"}'])
def test_a_root_that_is_none_is_refused(sigstore, tmp_path, raw):
    """That is the verifier's own file: it is said, and not taken for a bad signature."""
    path = tmp_path / "root.json"
    path.write_bytes(raw)
    with pytest.raises(SettingsError, match="is not a trusted root"):
        problem(path, sigstore.sign(DATA))


def test_a_missing_root_is_refused(sigstore, tmp_path):
    """A file that is not there trusts nobody."""
    with pytest.raises(SettingsError, match="cannot be read"):
        problem(tmp_path / "none.json", sigstore.sign(DATA))


def test_a_root_that_is_too_large_is_refused(sigstore, root):
    """Nobody's trusted root has megabytes of white space."""
    root.write_bytes(sigstore.root() + b" " * MAX_ROOT)
    with pytest.raises(SettingsError, match="has more than"):
        problem(root, sigstore.sign(DATA))


def test_a_missing_extra_is_said(sigstore, root, monkeypatch):
    """Who has not installed sigstore learns how."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "sigstore"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SettingsError, match="sigstore, which is not installed") as caught:
        problem(root, sigstore.sign(DATA))
    assert caught.value.hint == "pip install 'airgap[sigstore]'"


def test_trust_files_name_identities(sigstore, root):
    """In trust.toml they stand beside keys; the root lies where the file says, seen from it."""
    path = root.parent / "trust.toml"
    path.write_text(
        "require = 1\n[[identity]]\n"
        f'name = "release"\nidentity = "{IDENTITY}"\nissuer = "{ISSUER}"\nroot = "{root.name}"\n'
    )
    policy = load_policy(PolicySource("here", [path])).policy
    trust = Trust((policy,), now=NOW)
    bundle = canonical_bytes(sigstore.sign(DATA))
    verdict = trust.check(DATA, Signatures(sigstore=(bundle,)))
    assert [signer.name for signer in verdict.signers] == ["release"]
    with pytest.raises(SignatureError, match="digest mismatch"):
        trust.check(DATA + b" ", Signatures(sigstore=(bundle,)))


def test_bundles_travel_with_the_other_signatures(sigstore, root):
    """In the document of signatures they come back as they were, and still count."""
    bundle = canonical_bytes(sigstore.sign(DATA))
    found = Signatures.parse(Signatures(sigstore=(bundle,)).to_bytes())
    assert problem(root, found.sigstore[0]) is None
