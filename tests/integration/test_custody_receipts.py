"""The log of custody and the receipts that anchor it, also where imports fail."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from airgap.transfer.receipts import read_receipt
from tests.support import builders
from tests.support.command_line import airgap, assert_refused
from tests.support.custody import position_of
from tests.support.embedded import Seen, Status
from tests.support.transfers import export, sent

SMALL = builders.image(layers=(10_000,), seed=1)
LARGE = builders.image(layers=(2_500_000,), seed=2)


@pytest.fixture
def path() -> Path:
    """Where the log lies if nobody says otherwise."""
    return Path(os.environ["XDG_STATE_HOME"]) / "airgap" / "custody.log"


@pytest.fixture
def bundle(pack) -> Path:
    """A bundle of one image."""
    return pack({"app:1": SMALL})


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def details(path: Path) -> dict[str, Any]:
    return json.loads(lines(path)[-1])["details"]


def bring(bundle: object, inside: Any, *more: object):
    return airgap("import", "bundle", bundle, "--to", inside.host, *more)


def test_a_receipt_names_the_log_with_the_entry_of_its_import(
    bundle, inside, path, tmp_path
) -> None:
    """Length and head are those after it, so that a log that was cut later on is found."""
    receipts = [tmp_path / f"{number}.receipt" for number in range(2)]
    for number, receipt in enumerate(receipts, 1):
        assert bring(bundle, inside, "--receipt", receipt).code == 0
        assert read_receipt(receipt).receipt.log == position_of(lines(path))
        assert len(lines(path)) == number
    named = [part for receipt in receipts for part in ("--receipt", receipt)]
    done = airgap("log", "verify", *named)
    assert (done.code, "--receipt or" in done.out) == (0, False)
    path.write_bytes(lines(path)[0])
    assert airgap("log", "verify").code == 0
    done = airgap("log", "verify", *named)
    assert done.code == 20
    assert "cut: the log has 1 entry, and had 2 when the receipt 1.receipt was made" in done.out


def test_a_log_that_was_written_anew_is_not_the_one_of_the_receipt(
    bundle, inside, path, tmp_path
) -> None:
    """Whoever removes the log and begins another one is found by what lies on the other side."""
    receipt = tmp_path / "r.receipt"
    assert bring(bundle, inside, "--receipt", receipt).code == 0
    path.unlink()
    assert bring(bundle, inside).code == 0
    done = airgap("log", "verify", "--receipt", receipt)
    assert done.code == 20
    assert "other: entry 1 is not the one that the receipt r.receipt names" in done.out


def test_an_import_with_a_receipt_needs_the_log(bundle, inside, tmp_path) -> None:
    """Where the log cannot be written, it ends before anything is sent."""
    (tmp_path / "file").touch()
    receipt, log = tmp_path / "r.receipt", tmp_path / "file" / "custody.log"
    done = bring(bundle, inside, "--receipt", receipt, "--custody-log", log)
    assert_refused(done, 30, "storage")
    assert sent(inside) == []
    assert not receipt.exists()
    assert bring(bundle, inside, "--custody-log", log).code == 0


def test_an_import_whose_log_fails_meanwhile_is_no_success(bundle, inside, path, tmp_path) -> None:
    """What the log must hold and does not is an error, and the receipt says so, without a log."""

    def spoil(seen: Seen) -> None:
        if seen.method == "PUT":
            path.write_bytes(b"nothing\n")

    inside.fault = spoil
    receipt = tmp_path / "r.receipt"
    done = bring(bundle, inside, "--receipt", receipt)
    assert done.code == 20
    assert "error[integrity]" in done.err
    assert f"{path} is damaged" in done.err
    found = read_receipt(receipt).receipt
    assert found.error is not None
    assert (found.outcome, found.error.code, found.log) == ("failed", "integrity", None)
    assert inside.repository("app").resolve("1") is not None


def test_an_import_with_a_receipt_does_not_build_on_a_damaged_log(
    bundle, inside, path, tmp_path
) -> None:
    """A receipt that names a log that is none would prove nothing."""
    path.parent.mkdir(parents=True)
    path.write_bytes(b"nothing\n")
    done = bring(bundle, inside, "--receipt", tmp_path / "r.receipt")
    assert_refused(done, 20, "integrity", "airgap log verify")
    assert sent(inside) == []


def test_a_failed_import_leaves_an_entry_and_a_receipt_that_names_it(
    bundle, inside, path, tmp_path
) -> None:
    """Both say how far it came, and the receipt has the head with that entry."""
    inside.fail(Status(500), method="PUT", path="/manifests/", times=100)
    receipt = tmp_path / "r.receipt"
    done = bring(bundle, inside, "--receipt", receipt, "--retries", "0")
    assert done.code not in (0, 3)
    found = read_receipt(receipt).receipt
    assert found.outcome == "failed"
    assert found.log == position_of(lines(path))
    assert details(path)["exit"] == done.code
    assert details(path)["bundle"] == str(found.bundle)
    assert [image["outcome"] for image in details(path)["images"]] == ["failed"]


@pytest.mark.parametrize("has_receipt", [True, False])
def test_an_import_that_ends_early_leaves_the_names_that_it_moved(
    outside, inside, path, tmp_path, has_receipt: bool
) -> None:
    """What is complete by the first medium is there, and counts for rollbacks later on."""
    for name, content in (("small", SMALL), ("large", LARGE)):
        builders.push(outside.repository(name), content, tag="1")
    names = [f"{outside.host}/{name}:1" for name in ("small", "large")]
    export(names, tmp_path / "b.tar", volume_size=1 << 20)
    last = max(tmp_path.glob("b.*.tar"))
    more = ["--receipt", tmp_path / "r.receipt"] if has_receipt else []
    assert bring(last, inside, *more).code == 23
    images = {image["target"]: image for image in details(path)["images"]}
    small = images[f"{inside.host}/small:1"]
    assert (small["outcome"], small["digest"]) == ("pushed", str(SMALL.digest))
    assert images[f"{inside.host}/large:1"]["outcome"] == "waiting"
    assert (details(path)["exit"], details(path)["error"]) == (23, "incomplete")
