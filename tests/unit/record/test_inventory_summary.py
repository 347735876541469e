"""The short line of an inventory can be typed, and any other holdings have another one."""

from __future__ import annotations

import base64
import re

import pytest

from airgap.errors import DigestMismatchError, SettingsError
from airgap.record.inventory_summary import InventorySummary, check_summary, code_of
from tests.support.inventories import APP, LAYER, digest, make_inventory, sample

FOUND = sample()
LINE = str(InventorySummary.of(FOUND))


def test_the_line_is_short_and_of_letters_that_a_small_qr_code_holds():
    """Capitals, digits, blanks and dashes; none that looks like another one."""
    assert re.fullmatch(r"AIRGAP1 ([0-9A-HJKMNP-TV-Z]{4}-){7}[0-9A-HJKMNP-TV-Z]{4} B4 I3", LINE)
    assert len(LINE) < 60


def test_the_code_is_that_of_crockford():
    """The first 20 bytes as the standard library writes them, in other digits."""
    found = digest("")
    theirs = base64.b32encode(bytes.fromhex(found.hex)[:20]).decode()
    digits = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "0123456789ABCDEFGHJKMNPQRSTVWXYZ")
    assert code_of(found) == theirs.translate(digits)


@pytest.mark.parametrize(
    "typed",
    [
        LINE,
        LINE.lower(),
        LINE.replace("-", ""),
        LINE.replace("-", " "),
        f"  {LINE}\n",
        LINE.replace("0", "o").replace("1", "l"),
        LINE.replace(" B", "  b ").replace(" I", "\ti "),
        str(FOUND.content_digest),
    ],
)
def test_what_people_make_of_it_is_understood(typed: str):
    """Case, blanks, dashes and letters that look alike do not matter."""
    check_summary(FOUND, typed)


def test_a_wrong_group_is_named():
    """Who mistyped sees where."""
    groups = LINE.split(" ")[1].split("-")
    changed = "ZZZZ" if groups[2] != "ZZZZ" else "YYYY"
    with pytest.raises(DigestMismatchError, match="group 3 of") as caught:
        check_summary(FOUND, LINE.replace(groups[2], changed))
    assert caught.value.actual == LINE


def test_a_wrong_count_is_told():
    """The counts are compared, too."""
    with pytest.raises(DigestMismatchError, match="count"):
        check_summary(FOUND, LINE.replace("B4", "B5"))


def test_another_inventory_has_another_line():
    """One blob more or less, and the line does not fit."""
    other = make_inventory([(APP, 1, "a"), (LAYER, 2, "a")])
    with pytest.raises(DigestMismatchError):
        check_summary(other, LINE)
    with pytest.raises(DigestMismatchError):
        check_summary(other, str(FOUND.content_digest))


def test_when_and_by_whom_it_was_made_is_not_in_it():
    """Two inventories of the same holdings have the same line."""
    one, two = (make_inventory([(APP, 1, "a")], by=by) for by in ("Ada", "Bob"))
    assert one.raw != two.raw
    assert InventorySummary.of(one) == InventorySummary.of(two)


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "sha256:12",
        "AIRGAP2" + LINE[7:],
        LINE[:-3],
        LINE.replace("-", "", 1)[:20],
        LINE.replace(LINE[8], "U", 1),
        LINE.replace(LINE[8:12], LINE[8:13], 1) + " X",
        LINE[:8] + "00" + LINE[8:],
        "A" * 100_000,
        "AIRGAP1 " + "- " * 50_000,
    ],
)
def test_what_is_no_summary_is_refused(typed: str):
    """As a wrong option and not as a wrong inventory."""
    with pytest.raises(SettingsError) as caught:
        check_summary(FOUND, typed)
    assert len(caught.value.message) < 300
