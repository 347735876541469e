"""A signature by a key in JSON, as `cosign sign-blob --key --bundle` writes it. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from airgap.errors import InvalidContentError
from airgap.oci.document import parse_object
from airgap.trust.keys import MAX_SIGNATURE

_CERTIFICATES = ("certificate", "x509CertificateChain")


def key_signature(raw: bytes) -> bytes | None:
    """The signature of some bytes by a key that a bundle holds; None where it holds something else.

    The key itself is not named by anything that could be believed: whoever trusts some tries them.
    Both of cosign's forms are read, the Sigstore bundle and the older `base64Signature`.

    Args:
        raw: The bundle.
    """
    try:
        value = parse_object(raw, what="a bundle")
    except InvalidContentError:
        return None
    text = value.get("base64Signature")
    if text is None and not _has_certificate(value):
        message = value.get("messageSignature")
        text = message.get("signature") if isinstance(message, Mapping) else None
    return _decode(text)


def _has_certificate(value: Mapping[str, Any]) -> bool:
    material = value.get("verificationMaterial")
    return isinstance(material, Mapping) and any(name in material for name in _CERTIFICATES)


def _decode(text: object) -> bytes | None:
    if not isinstance(text, str) or len(text) > 2 * MAX_SIGNATURE:
        return None
    try:
        return base64.b64decode(text, validate=True) or None
    except (ValueError, binascii.Error):
        return None
