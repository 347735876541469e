"""A server's certificate is read again when its files change, and kept when they are bad."""

from __future__ import annotations

import logging
import os
import ssl
from pathlib import Path

import pytest
import trustme

from airgap.errors import SettingsError
from airgap.server.tls import ServerTls


class Clock:
    """A clock that is set by hand."""

    time = 0.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def pairs(authority):
    return [authority.issue_cert("one.example"), authority.issue_cert("two.example")]


@pytest.fixture
def files(tmp_path, pairs):
    found = tmp_path / "cert.pem", tmp_path / "key.pem"
    put(files=found, pair=pairs[0])
    return found


def put(files: tuple[Path, Path], pair: trustme.LeafCert) -> None:
    """Write a certificate and its key, so that the change shows."""
    certificate, key = files
    certificate.write_bytes(b"".join(part.bytes() for part in pair.cert_chain_pems))
    key.write_bytes(pair.private_key_pem.bytes())


def served_name(tls: ServerTls, authority: trustme.CA, *, asks: str | None = None) -> str:
    """The name in the certificate that a client gets, in a handshake through memory."""
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    authority.configure_trust(client_context)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=asks)
    server = tls.context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(10):
        done = 0
        for side in (client, server):
            try:
                side.do_handshake()
                done += 1
            except ssl.SSLWantReadError:
                pass
        if done == 2:
            return client.getpeercert()["subjectAltName"][0][1]
    raise AssertionError("no handshake")


@pytest.mark.parametrize("asks", [None, "whatever.example"])
def test_a_changed_certificate_is_served(files, pairs, authority, asks):
    """New files count for the next connection, whether the client names a server or not."""
    clock = Clock()
    tls = ServerTls(*files, now=clock)
    assert served_name(tls, authority, asks=asks) == "one.example"
    put(files, pairs[1])
    assert served_name(tls, authority, asks=asks) == "one.example"
    clock.time += 1
    assert served_name(tls, authority, asks=asks) == "two.example"


def test_bad_files_leave_the_old_certificate(files, pairs, authority, caplog):
    """A broken pair is warned of once and not taken; when it is mended, it is."""
    clock = Clock()
    tls = ServerTls(*files, now=clock)
    files[0].write_bytes(b"".join(part.bytes() for part in pairs[1].cert_chain_pems))
    with caplog.at_level(logging.WARNING, logger="airgap"):
        for _ in range(3):
            clock.time += 1
            assert served_name(tls, authority) == "one.example"
    assert len(caplog.records) == 1
    files[1].write_bytes(pairs[1].private_key_pem.bytes())
    clock.time += 1
    assert served_name(tls, authority) == "two.example"


def test_a_file_that_goes_away_leaves_the_old_certificate(files, authority, caplog):
    """Without its files the server goes on with what it has, and warns."""
    clock = Clock()
    tls = ServerTls(*files, now=clock)
    files[1].unlink()
    clock.time += 1
    assert served_name(tls, authority) == "one.example"
    assert "kept as it was" in caplog.text


def test_old_tls_is_refused(files):
    """Nothing below TLS 1.2 is spoken."""
    assert ServerTls(*files).context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_one_file_may_hold_both(files, authority):
    """Key and certificate may lie in one file."""
    files[0].write_bytes(files[1].read_bytes() + files[0].read_bytes())
    assert served_name(ServerTls(files[0]), authority) == "one.example"


@pytest.mark.parametrize("which", [0, 1])
def test_missing_files_are_named(files, which):
    """A file that is not there is said by its name."""
    files[which].unlink()
    with pytest.raises(SettingsError, match=files[which].name):
        ServerTls(*files)


@pytest.mark.parametrize("raw", [b"", b"nonsense"])
def test_what_is_no_certificate_is_refused(files, raw):
    """A file without a certificate cannot be used."""
    files[0].write_bytes(raw)
    with pytest.raises(SettingsError, match="cannot be used for TLS"):
        ServerTls(*files)


def test_a_key_of_another_certificate_is_refused(files, pairs):
    """A key that does not belong to the certificate cannot be used."""
    files[1].write_bytes(pairs[1].private_key_pem.bytes())
    with pytest.raises(SettingsError, match="mismatch"):
        ServerTls(*files)


def test_an_encrypted_key_asks_nobody(files):
    """A key with a password is refused, and the terminal is not asked for it."""
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(files[1].read_bytes(), None)
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(os.urandom(8)),
        )
    )
    with pytest.raises(SettingsError, match="encrypted"):
        ServerTls(*files)
