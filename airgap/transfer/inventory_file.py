"""Inventories as files, with the signatures behind them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from airgap.content.atomic import write_file
from airgap.content.storage import is_folder, storage_errors
from airgap.errors import AirgapError, BundleFormatError, ConflictError, SettingsError
from airgap.record.inventory import Inventory
from airgap.transfer.records import OpenedRecord, open_record
from airgap.trust import signed
from airgap.trust.keys import PrivateKey
from airgap.trust.signatures import Signatures


def read_inventory(path: Path) -> tuple[Inventory, OpenedRecord]:
    """Read an inventory. No signature is checked.

    Returns:
        The inventory, and the record with what it was signed with.

    Raises:
        ContentNotFoundError: There is no such file.
        StorageError: It cannot be read.
        BundleFormatError: It is no inventory, is damaged, or needs a newer airgap.
        SignatureError: The signatures behind it are cut short.
    """
    record = open_record(path)
    if not isinstance(record.content, Inventory):
        raise BundleFormatError(
            f"{path} is no inventory", hint="`airgap export inventory` makes one"
        )
    return record.content, record


def check_target(path: Path) -> None:
    """See that an inventory can be written to a path; an older one there may be replaced.

    Raises:
        SettingsError: It is a folder, or lies in none.
        ConflictError: Something else is there.
        StorageError: It cannot be looked at.
    """
    if is_folder(path) or not is_folder(path.parent):
        raise SettingsError(
            f"{path} cannot be an inventory: "
            + ("it is a folder" if is_folder(path) else f"there is no folder {path.parent}"),
            hint="name a file in a folder that is there",
        )
    with storage_errors(path):
        if not path.exists():
            return
    try:
        read_inventory(path)
    except AirgapError as error:
        raise ConflictError(
            f"{path} is there and is no inventory: {error.message}",
            hint="give -o another name",
            origin="local",
        ) from error


def inventory_bytes(inventory: Inventory, keys: Sequence[PrivateKey] = ()) -> bytes:
    """What a file of an inventory holds.

    Args:
        inventory: What it says.
        keys: Those who sign it.
    """
    signatures = Signatures.sign(inventory.raw, keys).to_bytes() if keys else b""
    return signed.join(inventory.raw, signatures)


def write_inventory_file(path: Path, raw: bytes) -> None:
    """Write the file of an inventory, durably and in one step.

    Raises:
        StorageError: It could not be written; what was there before still is.
    """
    write_file(path, raw)
