"""Signatures at the end of a record (inventory, receipt): what was signed, then by whom. Pure.

The trailer begins at the last line that says so. Its document is JSON without line breaks, so
nothing in it can look like that line, whatever bytes the record holds.
"""

from __future__ import annotations

from airgap.errors import SignatureError

BEGIN = b"\n-----BEGIN AIRGAP SIGNATURES-----\n"
END = b"\n-----END AIRGAP SIGNATURES-----\n"
MAX_SIZE = 1024 * 1024
"""The most bytes of a document of signatures."""


def split(raw: bytes, *, what: str = "the file") -> tuple[bytes, bytes]:
    """Take a record and its signatures apart.

    Args:
        raw: The whole file.
        what: Its name, for errors.

    Returns:
        The bytes that were signed, and the document of signatures; empty where there is none.

    Raises:
        SignatureError: The signatures are cut short, damaged or too many.
    """
    start = raw.rfind(BEGIN, max(0, len(raw) - MAX_SIZE - len(BEGIN) - len(END)))
    is_ended = raw.endswith(END)
    if start < 0 and not is_ended:
        return raw, b""
    if start < 0 or not is_ended or start + len(BEGIN) > len(raw) - len(END):
        raise SignatureError(
            f"the signatures at the end of {what} are cut short or too long",
            hint="copy the file again from where it was made",
        )
    document = raw[start + len(BEGIN) : len(raw) - len(END)]
    if b"\n" in document:
        raise SignatureError(
            f"the signatures at the end of {what} are damaged",
            hint="copy the file again from where it was made",
        )
    return raw[:start], document


def join(payload: bytes, signatures: bytes) -> bytes:
    """Put signatures behind a record; none leave it as it is.

    Args:
        payload: What was signed.
        signatures: The document of signatures, in its canonical form; empty for none.
    """
    return payload + BEGIN + signatures + END if signatures else payload
