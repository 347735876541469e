"""The blocks of a PEM file (RFC 7468), and what is said of those that hold no key of ours. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from airgap.errors import SettingsError

MAX_PEM = 64 * 1024
_BLOCK = re.compile(
    rb"-----BEGIN ([A-Z0-9 ]{1,64})-----[ \t]*\r?\n(.*?)-----END \1-----", re.DOTALL
)
_BEGIN = re.compile(rb"-----BEGIN [A-Z0-9 ]{1,64}-----")
_PARAMETERS = "EC PARAMETERS"
"""`openssl ecparam -genkey` writes the name of the curve before the key, which says it again."""
PUBLIC = frozenset({"PUBLIC KEY"})
PRIVATE = frozenset({"PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "EC PRIVATE KEY"})
_COSIGN = frozenset(f"ENCRYPTED {name} PRIVATE KEY" for name in ("SIGSTORE", "COSIGN"))
_KINDS = "airgap takes Ed25519 and ECDSA P-256 keys"
_NEW_KEY = f"{_KINDS}; make one: airgap key generate -o release.key"
_OTHERS = (
    ("CERTIFICATE REQUEST", "a certificate request", _NEW_KEY),
    (
        "CERTIFICATE",
        "a certificate",
        "take the key out of it: openssl x509 -in FILE -noout -pubkey",
    ),
    ("PGP", "a key or signature of OpenPGP", _NEW_KEY),
    ("OPENSSH", "an SSH key", _NEW_KEY),
    (
        "SIGSTORE PRIVATE KEY",
        "a private key in cosign's own encryption",
        "make the key with airgap and give it to cosign: cosign import-key-pair --key release.key",
    ),
    (
        "COSIGN PRIVATE KEY",
        "a private key in cosign's own encryption",
        "make the key with airgap and give it to cosign: cosign import-key-pair --key release.key",
    ),
    ("RSA", "an RSA key", _NEW_KEY),
    ("DSA", "a DSA key", _NEW_KEY),
)


class Block(NamedTuple):
    """One block of a PEM file.

    Attributes:
        label: What it says that it is.
        raw: The block as it stands there, with both of its lines.
    """

    label: str
    raw: bytes

    @property
    def is_encrypted(self) -> bool:
        """Whether a passphrase opens it: PKCS#8's own label, or the header of RFC 1421."""
        return self.label.startswith("ENCRYPTED ") or b"Proc-Type: 4,ENCRYPTED" in self.raw


def key_block(raw: bytes, what: str, *, private: bool) -> Block:
    """The one key of a file.

    Args:
        raw: All of the file.
        what: Its name, for errors; they never show what stands in it.
        private: Whether a private key is needed, or else a public one.

    Raises:
        SettingsError: It holds something else, by name.
    """
    block = _only_block(raw, what)
    if block.label not in (PRIVATE if private else PUBLIC):
        raise _wrong_half(block.label, what, private=private) or _other(block.label, what)
    return block


def is_private(raw: bytes) -> bool:
    """Whether a file holds a private key, as far as its labels tell."""
    return any(found[1].decode() in PRIVATE for found in _BLOCK.finditer(raw[: MAX_PEM + 1]))


def unsupported(kind: str, what: str) -> SettingsError:
    """A key that airgap has no use for."""
    return SettingsError(f"{what} holds {kind}", hint=_NEW_KEY)


def _only_block(raw: bytes, what: str) -> Block:
    if len(raw) > MAX_PEM:
        raise SettingsError(
            f"{what} has more than {MAX_PEM} bytes; a key is smaller",
            hint="name a file that `airgap key generate` wrote",
        )
    if raw.lstrip().startswith((b"ssh-", b"ecdsa-sha2-", b"sk-ssh-")):
        raise unsupported("an SSH key", what)
    blocks = [Block(found[1].decode(), found[0] + b"\n") for found in _BLOCK.finditer(raw)]
    blocks = [block for block in blocks if block.label != _PARAMETERS]
    if len(blocks) > 1:
        raise SettingsError(
            f"{what} holds {len(blocks)} keys or other blocks, and one is needed",
            hint="write each key to a file of its own",
        )
    if not blocks and _BEGIN.search(raw):
        raise SettingsError(f"{what} is cut short or damaged", hint="copy the key file again")
    if not blocks:
        raise SettingsError(
            f"{what} is not a key in PEM",
            hint="a key begins with -----BEGIN; of one in DER: openssl pkey -inform DER -in FILE",
        )
    return blocks[0]


def _wrong_half(label: str, what: str, *, private: bool) -> SettingsError | None:
    if private and label in PUBLIC:
        return SettingsError(
            f"{what} holds a public key, and a private one is needed",
            hint="the private key lies beside it, without .pub: release.key",
        )
    if not private and label in _COSIGN:
        return SettingsError(
            f"{what} holds a private key in cosign's own encryption, and a public one is needed",
            hint="give its public half: cosign.pub beside cosign.key",
        )
    if not private and label in PRIVATE:
        return SettingsError(
            f"{what} holds a private key, and a public one is needed",
            hint="whoever can read it can sign; give the .pub file that `airgap key generate`"
            " wrote, or: openssl pkey -in FILE -pubout",
        )
    return None


def _other(label: str, what: str) -> SettingsError:
    for part, kind, hint in _OTHERS:
        if part in label:
            return SettingsError(f"{what} holds {kind}", hint=hint)
    return SettingsError(f"{what} holds no key but {label!r}", hint=_NEW_KEY)
