"""Receipts for tests, of a small import that never happened."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airgap.oci.digest import Digest
from airgap.record.bases import Base
from airgap.record.log import LogPosition
from airgap.record.receipt import (
    Receipt,
    ReceiptEntry,
    ReceiptFailure,
    ReceiptImage,
    ReceiptTag,
    in_order,
)
from airgap.record.receipt_format import write_receipt

STARTED = datetime(2026, 11, 25, 8, 0, 0, tzinfo=UTC)
FINISHED = datetime(2026, 11, 25, 8, 1, 30, tzinfo=UTC)


def digest_of(text: str) -> Digest:
    """The digest of a text, to name things by."""
    return Digest.of(text.encode())


def make_receipt(**changes: Any) -> Receipt:
    """A receipt of two images, one of which failed."""
    values: dict[str, Any] = {
        "bundle": digest_of("bundle"),
        "bases": (Base("inventory", digest_of("inventory"), "inside:5000"),),
        "registry": "inside:5000",
        "prefix": "mirror",
        "started": STARTED,
        "finished": FINISHED,
        "version": "1.2.3",
        "by": "Zoë in the vault",
        "outcome": "partial",
        "images": (
            ReceiptImage(
                "docker.io/library/app:1", digest_of("app"), "mirror/library/app", "1", "pushed",
                digest_of("app"),
            ),
            ReceiptImage(
                "docker.io/library/web:1", digest_of("web"), "mirror/library/web", "1", "failed"
            ),
            ReceiptImage("docker.io/library/x:1", digest_of("x"), "", "", "left"),
        ),
        "manifests": (ReceiptEntry(digest_of("app"), "mirror/library/app", 500, "pushed"),),
        "blobs": in_order(
            [
                ReceiptEntry(digest_of("layer"), "mirror/library/web", 7, "mounted"),
                ReceiptEntry(digest_of("layer"), "mirror/library/app", 7, "pushed"),
                ReceiptEntry(digest_of("config"), "mirror/library/app", 3, "present"),
                ReceiptEntry(digest_of("old"), "mirror/library/app", 9, "copied"),
            ]
        ),
        "tags": (ReceiptTag("mirror/library/app", "sha256-aa.sig", digest_of("sig")),),
        "failed": (ReceiptFailure("docker.io/library/web:1", "unavailable", "it broke off"),),
        "log": LogPosition(4, digest_of("entry")),
    }  # fmt: skip
    return write_receipt(Receipt(**(values | changes)))
