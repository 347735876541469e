"""Receipts of any content are read as they were written, and damaged ones are refused as such."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airgap.errors import BundleFormatError
from airgap.record.receipt import ReceiptEntry, in_order
from airgap.record.receipt_format import MAX_TEXT, parse_receipt, printable
from tests.support.receipts import digest_of, make_receipt

RECEIPT = make_receipt()
ENTRIES = st.builds(
    ReceiptEntry,
    st.integers(0, 20).map(lambda number: digest_of(str(number))),
    st.sampled_from(["a", "a/b", "team/app"]),
    st.integers(0, 1 << 53),
    st.sampled_from(["pushed", "present", "mounted", "copied"]),
)


@given(st.lists(ENTRIES, max_size=30, unique_by=lambda entry: (entry.digest, entry.repository)))
def test_every_receipt_is_read_as_it_was_written(entries: list[ReceiptEntry]) -> None:
    """Reading gives the same values, and each blob is found in all of its repositories."""
    receipt = make_receipt(blobs=in_order(entries), manifests=())
    found = parse_receipt(receipt.raw)
    assert found == receipt
    for entry in entries:
        held = found.find(entry.digest)
        assert held is not None
        names = {other.repository for other in entries if other.digest == entry.digest}
        assert set(held.repositories) == names
    assert found.find(digest_of("nowhere")) is None


@given(st.data())
def test_a_damaged_receipt_is_refused_or_says_something_else(data: st.DataObject) -> None:
    """One changed byte never passes unnoticed: the receipt is refused, or has another id."""
    raw = bytearray(RECEIPT.raw)
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    try:
        found = parse_receipt(bytes(raw))
    except BundleFormatError:
        return
    assert found.id != RECEIPT.id


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_as_no_receipt(raw: bytes) -> None:
    """Whatever is read, the only error is that it is no receipt."""
    try:
        parse_receipt(raw)
    except BundleFormatError:
        return
    raise AssertionError("random bytes are no receipt")


@given(st.text(max_size=50))
def test_any_text_of_an_error_fits_a_receipt(text: str) -> None:
    """What was cleaned stands in a receipt, and cleaning it again changes nothing."""
    clean = printable(text)
    assert len(clean) <= MAX_TEXT
    assert printable(clean) == clean
    assert make_receipt(by=clean).by == clean
