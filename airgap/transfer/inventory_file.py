"""Inventories as files, with the signatures behind them."""

from __future__ import annotations

from airgap.record.inventory import Inventory
from airgap.transfer.record_file import RecordFile

INVENTORY_FILE = RecordFile(Inventory, "inventory", "airgap export inventory")
