"""An inventory in one short line, to be typed, read out or scanned. Pure.

The line has 160 bits of the digest of what is held, and two counts. Digits are those of Crockford's
base 32, which has no letters that look like others; all of it is in capitals, so that a QR code of
it is small (ISO/IEC 18004, alphanumeric mode).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from airgap.errors import DigestMismatchError, InvalidContentError, SettingsError
from airgap.oci.digest import Digest
from airgap.record.inventory import Inventory

_MARK = "AIRGAP1"
_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LENGTH = 32
_GROUP = 4
_HEX = _LENGTH * 5 // 4
_LOOKALIKES = str.maketrans("OIL", "011")
_FORM = re.compile(
    r"AIRGAP[1IL][\s:]+([0-9A-Z\s-]{32,80}?)\s+B\s?([0-9]{1,10})\s+I\s?([0-9]{1,10})"
)
_HINT = (
    "type the whole line that `airgap inspect inventory --summary` prints on the other side, "
    "with the two counts at its end"
)


@dataclass(frozen=True, slots=True)
class InventorySummary:
    """What the short line says.

    Attributes:
        code: 160 bits of the content digest, in 32 digits.
        blobs: How many digests are held.
        images: How many images have names.
    """

    code: str
    blobs: int
    images: int

    @classmethod
    def of(cls, inventory: Inventory) -> Self:
        """The summary of an inventory."""
        code = code_of(inventory.content_digest)
        return cls(code, inventory.blob_count, inventory.image_count)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a line that somebody typed; case, blanks and dashes do not matter.

        Raises:
            SettingsError: It is no summary.
        """
        found = _FORM.fullmatch(text.strip().upper())
        if found is None:
            raise SettingsError(f"{text[:100]!r} is not the summary of an inventory", hint=_HINT)
        code = re.sub(r"[\s-]", "", found[1]).translate(_LOOKALIKES)
        if len(code) != _LENGTH or not set(code) <= set(_DIGITS):
            raise SettingsError(
                f"the summary has {len(code)} letters and digits of {_LENGTH} that it must have,"
                " or one that none has",
                hint=_HINT,
            )
        return cls(code, int(found[2]), int(found[3]))

    def __str__(self) -> str:
        return f"{_MARK} {'-'.join(_groups(self.code))} B{self.blobs} I{self.images}"


def code_of(digest: Digest) -> str:
    """The first 160 bits of a digest, in digits of base 32."""
    number = int(digest.hex[:_HEX], 16)
    return "".join(_DIGITS[number >> shift & 31] for shift in range(5 * (_LENGTH - 1), -1, -5))


def check_summary(inventory: Inventory, text: str) -> None:
    """Compare an inventory with what its other side says of it.

    Args:
        inventory: What came.
        text: The summary, or the whole content digest.

    Raises:
        SettingsError: The text is neither.
        DigestMismatchError: It is another inventory, was changed, or the text has a mistake.
    """
    actual = InventorySummary.of(inventory)
    try:
        expected: str = str(Digest.parse(text.strip()))
    except InvalidContentError:
        typed = InventorySummary.parse(text)
        if typed == actual:
            return
        raise _mismatch(str(typed), str(actual), _difference(typed, actual)) from None
    if expected != str(inventory.content_digest):
        raise _mismatch(expected, str(inventory.content_digest), "the digests differ")


def _difference(typed: InventorySummary, actual: InventorySummary) -> str:
    wrong = [
        str(number)
        for number, (one, other) in enumerate(
            zip(_groups(typed.code), _groups(actual.code), strict=True), 1
        )
        if one != other
    ]
    if not wrong:
        return "the digest is the same, and a count is not"
    groups = "group" if len(wrong) == 1 else "groups"
    return f"{groups} {', '.join(wrong)} of the digest differ{'s' if len(wrong) == 1 else ''}"


def _groups(code: str) -> list[str]:
    return [code[start : start + _GROUP] for start in range(0, _LENGTH, _GROUP)]


def _mismatch(expected: str, actual: str, how: str) -> DigestMismatchError:
    return DigestMismatchError(
        f"the inventory is not the one of the summary: {how}",
        expected=expected,
        actual=actual,
        hint="look for a mistake in what was typed; else this is another inventory, or was changed",
    )
