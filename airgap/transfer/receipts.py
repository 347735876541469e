"""Receipts as files: written whole or not at all, signed on wish, read with their signatures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from airgap.content.atomic import write_file
from airgap.content.storage import is_folder, storage_errors
from airgap.errors import AirgapError, BundleFormatError, ConflictError, SettingsError
from airgap.record.receipt import Receipt
from airgap.transfer.records import OpenedRecord, open_record
from airgap.trust import signed
from airgap.trust.keys import PrivateKey
from airgap.trust.signatures import Signatures


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
    record = open_record(path)
    if not isinstance(record.content, Receipt):
        raise BundleFormatError(
            f"{path} is no receipt", hint="`airgap import bundle --receipt` writes one"
        )
    return OpenedReceipt(record.content, record)


def receipt_before(path: Path) -> Receipt | None:
    """The receipt that would be replaced; None where there is nothing.

    Raises:
        ConflictError: What is there is something else.
        SettingsError: A receipt cannot be written there.
        StorageError: It cannot be read.
    """
    if is_folder(path) or not is_folder(path.parent):
        raise SettingsError(
            f"{path} cannot be a receipt: "
            + ("it is a folder" if is_folder(path) else f"there is no folder {path.parent}"),
            hint="name a file in a folder that is there",
        )
    with storage_errors(path):
        if not path.exists():
            return None
        if not path.is_file():
            raise SettingsError(
                f"{path} cannot be a receipt: it is a device or a pipe", hint="name a file"
            )
    try:
        return read_receipt(path).receipt
    except AirgapError as error:
        raise ConflictError(
            f"{path} is there and is no receipt: {error.message}",
            hint="give --receipt another name",
            origin="local",
        ) from error


def write_receipt_file(path: Path, receipt: Receipt, keys: Sequence[PrivateKey] = ()) -> None:
    """Write a receipt, durably and in one step.

    Args:
        path: Where.
        receipt: What it says.
        keys: Those who sign it.

    Raises:
        StorageError: It could not be written; what was there before still is.
    """
    signatures = Signatures.sign(receipt.raw, keys).to_bytes() if keys else b""
    write_file(path, signed.join(receipt.raw, signatures))
