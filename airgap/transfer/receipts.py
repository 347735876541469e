"""Receipts as files: written whole or not at all, signed on wish, read with their signatures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from airgap.content.atomic import write_file
from airgap.record.receipt import Receipt
from airgap.transfer.record_file import RecordFile, signed_bytes
from airgap.transfer.records import OpenedRecord
from airgap.trust.keys import PrivateKey

RECEIPT_FILE = RecordFile(Receipt, "receipt", "airgap import bundle --receipt")


@dataclass(frozen=True, slots=True)
class OpenedReceipt:
    """A receipt that was read.

    Attributes:
        receipt: What it says.
        record: Its bytes, with what they were signed with.
    """

    receipt: Receipt
    record: OpenedRecord


def read_receipt(path: Path) -> OpenedReceipt:
    """Read a receipt. No signature is checked.

    Raises:
        ContentNotFoundError: There is no such file.
        StorageError: It cannot be read.
        BundleFormatError: It is no receipt, is damaged, or needs a newer airgap.
        SignatureError: The signatures behind it are cut short.
    """
    return OpenedReceipt(*RECEIPT_FILE.read(path))


def write_receipt_file(path: Path, receipt: Receipt, keys: Sequence[PrivateKey] = ()) -> None:
    """Write a receipt, durably and in one step.

    Args:
        path: Where.
        receipt: What it says.
        keys: Those who sign it.

    Raises:
        StorageError: It could not be written; what was there before still is.
    """
    write_file(path, signed_bytes(receipt.raw, keys))
