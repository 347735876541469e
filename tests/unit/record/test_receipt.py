"""Receipts: what is written is read, and what is forged, cut or tricky is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta, timezone
from typing import Any

import pytest

from airgap.errors import BundleFormatError, IntegrityError, SettingsError
from airgap.oci.digest import Digest
from airgap.oci.document import canonical_bytes
from airgap.record import receipt_format as module
from airgap.record.receipt import ReceiptFailure
from airgap.record.receipt_format import (
    failure_of,
    parse_receipt,
    printable,
    write_receipt,
)
from tests.support.receipts import STARTED, digest_of, make_receipt

RECEIPT = make_receipt()
Change = Callable[[dict[str, Any]], object]


def changed(change: Change) -> bytes:
    value = json.loads(RECEIPT.raw)
    change(value)
    return canonical_bytes(value)


def test_a_receipt_that_is_read_is_the_one_that_was_written() -> None:
    """Reading gives the same values and the same id as writing."""
    found = parse_receipt(RECEIPT.raw)
    assert found == RECEIPT
    assert found.id == Digest.of(RECEIPT.raw) == RECEIPT.id
    assert write_receipt(found).raw == RECEIPT.raw


def test_the_bytes_of_a_receipt_do_not_depend_on_the_time_zone() -> None:
    """Times are written in UTC, whatever zone they were given in."""
    zone = timezone(timedelta(hours=5, minutes=30))
    assert make_receipt(started=STARTED.astimezone(zone)).raw == RECEIPT.raw


def test_a_receipt_finds_every_repository_of_a_blob() -> None:
    """What is asked for by digest comes with its size and all the repositories that have it."""
    found = RECEIPT.find(digest_of("layer"))
    assert found is not None
    assert found.size == 7
    assert found.repositories == ("mirror/library/app", "mirror/library/web")


def test_a_receipt_finds_manifests_and_not_what_it_does_not_name() -> None:
    """A manifest is found as a blob is, and what nobody brought is not."""
    found = RECEIPT.find(digest_of("app"))
    assert found is not None
    assert found.size == 500
    assert RECEIPT.find(digest_of("web")) is None
    assert RECEIPT.find(digest_of("nothing")) is None


def test_unknown_fields_of_a_receipt_are_part_of_its_id() -> None:
    """What a later airgap adds does no harm, and its bytes still count."""
    raw = changed(lambda v: v.update(later=[1]))
    found = parse_receipt(raw)
    assert found.images == RECEIPT.images
    assert found.id != RECEIPT.id


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(formatVersion=2), "format version 2"),
        (lambda v: v.update(formatVersion=True), "no format version"),
        (lambda v: v.update(requires=["quantum"]), "does not know: 'quantum'"),
        (lambda v: v.update(mediaType="text/plain"), "this is no receipt"),
        (lambda v: v.update(bundle="latest"), "not a digest"),
        (lambda v: v.update(registry="http://x"), "does not name a registry"),
        (lambda v: v.update(prefix="../up"), "does not name a registry"),
        (lambda v: v.update(started="2026-11-25 08:00:00"), "not a time"),
        (lambda v: v.update(finished="2026-13-25T08:00:00Z"), "not a time"),
        (lambda v: v.update(finished="2026-11-25T08:00:0٣Z"), "not a time"),
        (lambda v: v.update(by="x" * 257), "at most 256"),
        (lambda v: v.update(by="a\u202eb"), "not shown as they are"),
        (lambda v: v.update(by="a\u200bb"), "not shown as they are"),
        (lambda v: v.update(by="Zoe\u0308"), "not shown as they are"),
        (lambda v: v.update(by="a\nb"), "not shown as they are"),
        (lambda v: v.update(outcome="splendid"), "no outcome"),
        (lambda v: v.update(outcome="complete"), "calls complete"),
        (lambda v: v.update(outcome="failed"), "contradict each other"),
        (lambda v: v.update(error=v["failed"][0]), "contradict each other"),
        (lambda v: v.update(images={}), "list of objects"),
        (lambda v: v.update(images=[1]), "must hold objects"),
        (lambda v: v["images"].reverse(), "not in order"),
        (lambda v: v["images"].append(v["images"][-1]), "stand there twice"),
        (lambda v: v["images"][0].update(name="app"), "not the full name"),
        (lambda v: v["images"][0].update(name="docker.io/library/\u0430pp:1"), "not a reference"),
        (lambda v: v["images"][0].update(repository="Mirror"), "not a repository"),
        (lambda v: v["images"][0].update(tag="a/b"), "not a tag"),
        (lambda v: v["images"][2].update(tag="1"), "was left"),
        (lambda v: v["images"][2].update(named=v["images"][2]["digest"]), "was left"),
        (lambda v: v["blobs"][0].update(size=-1), "not a size"),
        (lambda v: v["blobs"][0].update(size=True), "not a size"),
        (lambda v: v["blobs"][0].update(size=1 << 54), "not a size"),
        (lambda v: v["blobs"][0].update(repository="a//b"), "not a repository"),
        (lambda v: v["blobs"].append(v["blobs"][-1]), "stand there twice"),
        (lambda v: v["blobs"][0].update(outcome="hoped"), "no outcome"),
        (lambda v: v["manifests"][0].update(outcome="mounted"), "can only be"),
        (lambda v: v["tags"][0].update(tag="-x"), "not a tag"),
        (lambda v: v["failed"][0].update(code="NOT A CODE"), "not the code"),
        (lambda v: v["log"].update(length=0), "length of a log"),
        (lambda v: v["bases"][0].update(kind="rumour"), "no base"),
    ],
)
def test_a_receipt_that_is_wrong_is_refused(change: Change, message: str) -> None:
    """What is newer, damaged, contradictory or meant to be misread is refused, and says why."""
    with pytest.raises(BundleFormatError) as caught:
        parse_receipt(changed(change))
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("images", "failed"),
    [(["pushed", "failed"], 0), (["pushed", "waiting"], 0), (["pushed", "present"], 1)],
)
def test_an_import_is_not_complete_where_anything_failed_or_waits(
    images: list[str], failed: int
) -> None:
    """Neither an image nor the list of failures may say so, each alone."""

    def change(value: dict[str, Any]) -> None:
        value["outcome"] = "complete"
        for image, outcome in zip(value["images"], images, strict=False):
            image["outcome"] = outcome
        del value["failed"][failed:]

    with pytest.raises(BundleFormatError, match="calls complete what failed or waits"):
        parse_receipt(changed(change))


@pytest.mark.parametrize("key", sorted(json.loads(RECEIPT.raw).keys() - {"requires"}))
def test_a_receipt_that_lacks_a_field_is_refused(key: str) -> None:
    """Each field must be there, but for the features that it requires."""
    with pytest.raises(BundleFormatError):
        parse_receipt(changed(lambda v: v.pop(key)))


def test_a_truncated_receipt_is_refused_wherever_it_was_cut() -> None:
    """No beginning of a receipt is a receipt."""
    for length in range(0, len(RECEIPT.raw), 7):
        with pytest.raises(BundleFormatError):
            parse_receipt(RECEIPT.raw[:length])


def test_a_receipt_in_another_form_is_refused() -> None:
    """The same values with spaces, or with a key twice, are not the bytes that were signed."""
    with pytest.raises(BundleFormatError, match="canonical form"):
        parse_receipt(json.dumps(json.loads(RECEIPT.raw)).encode())
    with pytest.raises(BundleFormatError, match="twice"):
        parse_receipt(RECEIPT.raw[:-1] + b',"by":"someone else"}')


def test_a_huge_receipt_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The size is looked at before anything else."""
    monkeypatch.setattr(module, "MAX_SIZE", 100)
    with pytest.raises(BundleFormatError, match="more than 100"):
        parse_receipt(RECEIPT.raw)


def test_a_text_that_cannot_stand_in_a_receipt_is_refused_when_it_is_written() -> None:
    """Nobody gets a receipt that nobody could read."""
    with pytest.raises(SettingsError, match="cannot stand in a receipt"):
        make_receipt(by="a\u202eb")


def test_errors_are_cleaned_before_they_stand_in_a_receipt() -> None:
    """What a server sent stands in a receipt on one line, composed, short, without controls."""
    error = IntegrityError("a\x1b[31m\nb\u202e" + "Zoe\u0308" + "x" * 2000)
    failure = failure_of(error, "docker.io/library/app:1")
    assert failure.code == "integrity"
    assert failure.message.startswith("a?[31m?b?Zoë")
    assert len(failure.message) == 1000
    failed = make_receipt(outcome="failed", error=failure, failed=(failure,))
    assert failed.error == failure


def test_printable_texts_stay_as_they_are() -> None:
    """Only what is not shown is replaced."""
    assert printable("naïve — 日本") == "naïve — 日本"
    assert printable("abc", 2) == "ab"


def test_a_failed_receipt_says_what_stopped_it() -> None:
    """An import that ended early has its error in the receipt."""
    error = ReceiptFailure("", "cancelled", "interrupted")
    assert parse_receipt(make_receipt(outcome="failed", error=error).raw).error == error
