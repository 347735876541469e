"""The small certificate authority: what it makes, keeps and makes anew."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from airgap.errors import SettingsError
from airgap.server.certificates import certificate_names, self_signed

NOW = datetime(2026, 3, 1, tzinfo=UTC)
NAMES = ["registry.internal", "localhost", "127.0.0.1", "::1"]


def load(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


@pytest.mark.parametrize("subject", [x509.DNSName("registry.internal"), x509.DNSName("localhost")])
def test_the_certificate_verifies_by_the_authority(tmp_path, subject):
    """A strict verifier that trusts only the authority takes the server's certificate."""
    made = self_signed(tmp_path / "tls", NAMES, now=NOW)
    store = Store([load(made.authority)])
    verifier = PolicyBuilder().store(store).time(NOW).build_server_verifier(subject)
    assert verifier.verify(load(made.server), [])


def test_names_stand_in_the_certificate(tmp_path):
    """Host names and addresses are in it, in the order in which they were given."""
    made = self_signed(tmp_path, NAMES, now=NOW)
    assert certificate_names(made.server) == ("registry.internal", "localhost", "127.0.0.1", "::1")


def test_keys_are_readable_by_their_owner_only(tmp_path):
    """What holds a key has mode 600; what clients get may be read by all."""
    made = self_signed(tmp_path, NAMES, now=NOW)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"ca.key": 0o600, "server.pem": 0o600, "ca.crt": 0o644}
    assert b"PRIVATE" not in made.authority.read_bytes()


def test_what_is_good_is_kept(tmp_path):
    """A second start, also with fewer names, changes no file."""
    made = self_signed(tmp_path, NAMES, now=NOW)
    before = made.server.read_bytes(), made.authority.read_bytes()
    again = self_signed(tmp_path, NAMES[:2], now=NOW + timedelta(days=300))
    assert again == made
    assert (made.server.read_bytes(), made.authority.read_bytes()) == before


@pytest.mark.parametrize(
    ("names", "days"), [([*NAMES, "new.internal"], 1), (NAMES, 340), (NAMES, 500)]
)
def test_the_server_gets_a_new_certificate_from_the_same_authority(tmp_path, names, days):
    """Another name or a near end gives a new certificate that clients trust already."""
    made = self_signed(tmp_path, NAMES, now=NOW)
    before = made.server.read_bytes()
    again = self_signed(tmp_path, names, now=NOW + timedelta(days=days))
    assert made.server.read_bytes() != before
    assert again.fingerprint == made.fingerprint
    left = load(made.server).not_valid_after_utc - (NOW + timedelta(days=days))
    assert left == timedelta(days=397)


@pytest.mark.parametrize("name", ["ca.crt", "ca.key", "server.pem"])
@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_damaged_files_are_made_anew(tmp_path, name, damage):
    """Whatever is missing or broken, the result is a whole set that fits together."""
    self_signed(tmp_path, NAMES, now=NOW)
    if damage is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(damage)
    made = self_signed(tmp_path, NAMES, now=NOW)
    load(made.server).verify_directly_issued_by(load(made.authority))


def test_a_certificate_never_outlives_its_authority(tmp_path):
    """Near the authority's end the certificate ends with it; after it there is a new authority."""
    made = self_signed(tmp_path, NAMES, now=NOW)
    late = made.expires - timedelta(days=10)
    again = self_signed(tmp_path, NAMES, now=late)
    assert load(again.server).not_valid_after_utc == made.expires
    raw = again.server.read_bytes()
    assert (
        self_signed(tmp_path, NAMES, now=late + timedelta(days=1)).fingerprint == made.fingerprint
    )
    assert again.server.read_bytes() == raw
    assert self_signed(tmp_path, NAMES, now=made.expires).fingerprint != made.fingerprint


def test_a_name_that_is_none_is_refused(tmp_path):
    """What cannot stand in a certificate is said by name, and nothing is written."""
    with pytest.raises(SettingsError, match="not the name of a host"):
        self_signed(tmp_path / "tls", ["a" * 64 + ".example"], now=NOW)
    assert not (tmp_path / "tls").exists()


def test_a_file_without_a_certificate_has_no_names(tmp_path):
    """A file that is no certificate is refused by its name."""
    (tmp_path / "x.pem").write_bytes(b"nothing")
    with pytest.raises(SettingsError, match=r"x\.pem"):
        certificate_names(tmp_path / "x.pem")
