"""Receipts of imports that failed, were refused, interrupted or killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from airgap.trust.keys import PrivateKey
from tests.support import builders
from tests.support.differentials import pack_against
from tests.support.embedded import EmbeddedRegistry, Status
from tests.support.receipted import outcomes, read, take
from tests.support.transfers import catalog_of

BASE = builders.layer(40_000, seed=1)
APP = builders.image(layers=(BASE, 2000), seed=1)
WEB = builders.image(layers=(3000,), seed=2)


@pytest.fixture(name="receipt")
def receipt_file(tmp_path: Path) -> Path:
    """Where the receipt goes."""
    return tmp_path / "out.receipt"


def test_a_partial_import_leaves_a_partial_receipt(inside, receipt, tmp_path):
    """What failed is named with its reason, what went on is there; the command exits with 3."""
    bundle = pack_against(tmp_path, {"app:1": APP, "web:1": WEB}, {"team/os": [BASE]})
    done = take(bundle, inside, receipt, "--keep-going")
    assert done.code == 3
    found = read(receipt)
    assert (found.outcome, found.error) == ("partial", None)
    assert outcomes(found) == {"app:1": "failed", "web:1": "pushed"}
    [failure] = found.failed
    assert failure.name.endswith("/app:1")
    assert failure.code == "missing-base"


def test_a_refused_import_leaves_a_failed_receipt(inside, receipt, tmp_path):
    """Where the base guard refuses, the receipt says why, and that nothing came."""
    bundle = pack_against(tmp_path, {"app:1": APP}, {"team/os": [BASE]})
    done = take(bundle, inside, receipt, "--json")
    assert done.code == 23
    error = done.lines[-1]
    assert (error["code"], error["exit"]) == ("missing-base", 23)
    assert error["missing"] == [str(BASE.descriptor.digest)]
    assert len(error["failed"]) == 1
    assert f"--missing-for {bundle}" in error["hint"]
    found = read(receipt)
    assert found.error is not None
    assert (found.outcome, found.error.code) == ("failed", "missing-base")
    assert (found.blobs, found.manifests) == ((), ())


def test_a_complete_receipt_is_not_given_up_for_one_of_a_failure(pack, inside, receipt):
    """What proves an import stays when the same bundle fails later; that is told beside it."""
    bundle = pack({"app:1": APP})
    assert take(bundle, inside, receipt).code == 0
    proof = receipt.read_bytes()
    inside.fail(Status(403), path=r"/manifests/", times=20)
    done = take(bundle, inside, receipt)
    assert done.code != 0
    assert receipt.read_bytes() == proof
    beside = receipt.with_name("out.receipt.incomplete")
    assert read(beside).outcome == "failed"
    assert str(beside) in done.err


def test_a_tag_that_was_set_before_its_image_failed_is_told(pack, inside, receipt):
    """The registry takes an image and then does not have it: its tag names something now."""
    inside.fail(Status(404), method="HEAD", path="/v2/mirror/web/manifests/sha256", times=99)
    done = take(pack({"app:1": APP, "web:1": WEB}), inside, receipt, "--keep-going")
    assert done.code == 3
    found = read(receipt)
    assert outcomes(found) == {"app:1": "pushed", "web:1": "failed"}
    assert [(tag.repository, tag.tag) for tag in found.tags] == [("mirror/web", "1")]


def test_a_receipt_keeps_what_was_done_before_the_registry_failed(pack, inside, receipt):
    """What arrived before the error is in the receipt, with how far it came."""
    bundle = pack({"app:1": APP, "web:1": WEB})
    inside.fail(Status(507), method="PUT", path="/v2/mirror/web/manifests/", times=99)
    done = take(bundle, inside, receipt, "--jobs", "1")
    assert done.code not in (0, 3)
    assert "says how far the import came" in done.err
    found = read(receipt)
    assert found.outcome == "failed"
    assert outcomes(found) == {"app:1": "pushed", "web:1": "failed"}
    assert {e.digest for e in found.blobs} == {d for d, _ in catalog_of(bundle).blobs}
    assert {m.digest for m in found.manifests} == {APP.digest}


def test_a_bundle_that_is_none_leaves_no_receipt(inside, receipt, tmp_path):
    """Without a catalog nobody knows of what the receipt would be, and that is said."""
    (tmp_path / "b.tar").write_bytes(b"not a bundle" * 100)
    done = take(tmp_path / "b.tar", inside, receipt)
    assert done.code == 22
    assert not receipt.exists()
    assert "was not written: it is not known of which bundle" in done.err


def test_a_truncated_pipe_leaves_a_failed_receipt_and_no_tag(pack, inside, receipt):
    """What a broken pipe brought is told, and that it was cut short."""
    bundle = pack({"app:1": APP})
    done = take("-", inside, receipt, stdin=bundle.read_bytes()[:-20_000])
    assert done.code == 23
    found = read(receipt)
    assert (found.outcome, outcomes(found)) == ("failed", {"app:1": "failed"})
    assert found.manifests == ()
    assert inside.repository("mirror/app").resolve("1") is None


@contextmanager
def held_import(
    bundle: Path, receipt: Path, part: str, *options: str
) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], None]]]:
    """An import that stands still at the first manifest for such a path, and what lets it go on."""
    with EmbeddedRegistry() as inside:
        came, go = threading.Event(), threading.Event()

        def hold(seen: Any) -> None:
            if seen.method == "PUT" and part in str(seen):
                came.set()
                go.wait(20)

        inside.fault = hold
        command = [sys.executable, "-m", "airgap", "import", "bundle", str(bundle), *options]
        command += ["--to", f"{inside.host}/mirror", "--receipt", str(receipt)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            assert came.wait(20)
            yield process, go.set
        finally:
            go.set()
            process.kill()
            process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_import_leaves_a_whole_receipt(pack, receipt, number):
    """A signal in the middle ends with a receipt of what came until then, and nothing else."""
    bundle = pack({"app:1": APP, "web:1": WEB})
    with held_import(bundle, receipt, "/v2/mirror/web/manifests/", "--jobs", "1") as (process, go):
        process.send_signal(number)
        assert process.stderr is not None
        assert b"stopping" in process.stderr.readline()  # or the import ends before the signal
        go()
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    found = read(receipt)
    assert found.error is not None
    assert (found.outcome, found.error.code) == ("failed", "cancelled")
    assert outcomes(found)["app:1"] == "pushed"
    assert {e.digest for e in found.blobs} == {d for d, _ in catalog_of(bundle).blobs}
    assert [path.name for path in receipt.parent.glob("*receipt*")] == ["out.receipt"]


def test_a_killed_import_leaves_no_receipt(pack, receipt):
    """Without a chance to write one there is none, and none that is half written."""
    bundle = pack({"app:1": APP})
    with held_import(bundle, receipt, "/manifests/") as (process, _):
        process.kill()
        process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    assert list(receipt.parent.glob("*receipt*")) == []


def test_a_bundle_that_nobody_trusted_signed_leaves_a_failed_receipt(
    pack, inside, receipt, tmp_path
):
    """A refusal for its signature is a fact of its own, and nothing was asked of the registry."""
    (tmp_path / "release.pub").write_bytes(PrivateKey.generate("ed25519").public.to_pem())
    bundle = pack({"app:1": APP})
    done = take(bundle, inside, receipt, "--trust", tmp_path / "release.pub")
    assert done.code == 21
    found = read(receipt)
    assert found.error is not None
    assert (found.outcome, found.error.code) == ("failed", "signature")
    assert found.bundle == catalog_of(bundle).id
    assert outcomes(found) == {"app:1": "failed"}
    assert (found.blobs, found.manifests) == ((), ())
    assert inside.seen == []
