"""Imports on the command line that write receipts, and what the receipts say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airgap.record.receipt import Receipt
from airgap.transfer.receipts import read_receipt
from tests.support.command_line import Outcome, airgap
from tests.support.embedded import EmbeddedRegistry


def take(
    bundle: object, inside: EmbeddedRegistry, receipt: Path, *more: object, **how: Any
) -> Outcome:
    """Import a bundle with a receipt."""
    to = f"{inside.host}/mirror"
    return airgap("import", "bundle", bundle, "--to", to, "--receipt", receipt, *more, **how)


def read(path: Path) -> Receipt:
    """What a receipt says."""
    return read_receipt(path).receipt


def outcomes(receipt: Receipt) -> dict[str, str]:
    """What became of each image, by the last part of its name."""
    return {image.name.rpartition("/")[2]: image.outcome for image in receipt.images}
