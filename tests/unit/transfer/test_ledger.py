"""The ledger: what counts where things are told several times, and what stops an import."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest

from airgap.errors import AirgapError, CancelledError, ConflictError, UnavailableError
from airgap.transfer.destination import Destination, Target, plan_targets
from airgap.transfer.ledger import Ledger
from airgap.transfer.outcome import Failure, ImportedImage, Outcome
from airgap.transfer.publish_report import PublishReport
from tests.support.bundles import make_bundle
from tests.support.receipts import digest_of, make_receipt

MADE = make_bundle()
CATALOG = MADE.catalog
TO = Destination("inside:5000", "mirror")
BLOB = CATALOG.manifests[0]


class Clock:
    """A clock that goes on by a minute whenever it is looked at."""

    def __init__(self) -> None:
        self._now = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self._now += timedelta(minutes=1)
        return self._now


class Pass(PublishReport):
    """What a pass over the media made of some images."""

    def __init__(self, outcomes: Mapping[Target, Outcome], error: AirgapError) -> None:
        self._outcomes = outcomes
        self._error = error

    def images(self) -> Iterator[tuple[Target, ImportedImage]]:
        for target, outcome in self._outcomes.items():
            name, digest = target.image.reference.tagged, target.image.digest
            yield target, ImportedImage(name, f"{target.repository}:{target.tag}", digest, outcome)

    def failures(self) -> tuple[Failure, ...]:
        return tuple(
            Failure(target.image.reference.tagged, self._error)
            for target, outcome in self._outcomes.items()
            if outcome == "failed"
        )


def test_a_ledger_that_never_began_has_no_receipt() -> None:
    """Without a catalog nobody knows what a receipt would be of."""
    assert Ledger(Clock()).receipt(UnavailableError("gone")) is None


def test_how_a_blob_first_came_counts() -> None:
    """What was pushed on the first pass is not called present because of the second."""
    ledger = Ledger(Clock())
    ledger.begin(CATALOG, TO)
    ledger.blob(BLOB, "mirror/app", "pushed")
    ledger.blob(BLOB, "mirror/app", "present")
    ledger.blob(BLOB, "mirror/web", "mounted")
    receipt = ledger.receipt()
    assert receipt is not None
    assert [(e.repository, e.outcome) for e in receipt.blobs] == [
        ("mirror/app", "pushed"),
        ("mirror/web", "mounted"),
    ]


def test_a_receipt_says_when_the_import_began_and_ended() -> None:
    """The times are those of the clock that was given, in UTC."""
    ledger = Ledger(Clock(), by="Zoë")
    ledger.begin(CATALOG, TO)
    receipt = ledger.receipt()
    assert receipt is not None
    assert (receipt.finished - receipt.started) == timedelta(minutes=1)
    assert receipt.by == "Zoë"


def test_an_import_that_ends_before_its_plan_fails_every_image() -> None:
    """Where nothing was decided yet, no image counts as left out on purpose."""
    ledger = Ledger(Clock())
    ledger.begin(CATALOG, TO)
    receipt = ledger.receipt(CancelledError("interrupted"))
    assert receipt is not None
    assert receipt.error is not None
    assert (receipt.outcome, receipt.error.code) == ("failed", "cancelled")
    assert {image.outcome for image in receipt.images} == {"failed"}
    assert len(receipt.images) == len(CATALOG.images)


@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), "cancelled"), (ValueError("secret"), "failure")]
)
def test_what_is_no_error_of_ours_is_told_without_its_text(error: BaseException, code: str) -> None:
    """A bug is named by its kind, since its text may hold anything."""
    ledger = Ledger(Clock())
    ledger.begin(CATALOG, TO)
    receipt = ledger.receipt(error)
    assert receipt is not None
    assert receipt.error is not None
    assert receipt.error.code == code
    assert "secret" not in receipt.error.message


@pytest.mark.parametrize(
    "changes",
    [
        {"bundle": digest_of("other")},
        {"bundle": CATALOG.id, "registry": "other:5000"},
        {"bundle": CATALOG.id, "prefix": ""},
    ],
)
def test_a_receipt_of_something_else_is_not_replaced(changes: dict[str, object]) -> None:
    """Another bundle, registry or path in it means another name for the receipt."""
    ledger = Ledger(Clock(), before=make_receipt(**changes))
    with pytest.raises(ConflictError):
        ledger.begin(CATALOG, TO)
    assert ledger.receipt() is None


def test_the_receipt_of_an_earlier_run_is_replaced() -> None:
    """The same bundle to the same place is the same import, run again."""
    ledger = Ledger(Clock(), before=make_receipt(bundle=CATALOG.id))
    ledger.begin(CATALOG, TO)
    assert ledger.receipt() is not None


def test_what_failed_on_one_pass_and_came_on_the_next_has_not_failed() -> None:
    """Neither as an image nor in the list of failures; what still fails is in both."""
    one, two, *_ = plan_targets(CATALOG.images, TO)
    error = UnavailableError("gone")
    ledger = Ledger(Clock())
    ledger.begin(CATALOG, TO)
    ledger.watch(Pass({one: "failed", two: "failed"}, error))
    ledger.watch(Pass({one: "pushed", two: "failed"}, error))
    receipt = ledger.receipt()
    assert receipt is not None
    outcomes = {image.name: image.outcome for image in receipt.images}
    names = [target.image.reference.tagged for target in (one, two)]
    assert [outcomes[name] for name in names] == ["pushed", "failed"]
    assert [failure.name for failure in receipt.failed] == [names[1]]
    assert receipt.outcome == "partial"
