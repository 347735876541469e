"""Records that are written while the process is killed or the power fails: the old or the new."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from airgap.oci import mediatype
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference
from airgap.record.lock import Lock, LockedImage
from airgap.transfer.locked import write_lock
from airgap.transfer.receipts import read_receipt, write_receipt_file
from airgap.trust.keys import PrivateKey
from airgap.trust.policy import Trust, TrustedKey, TrustPolicy
from airgap.trust.revocations import RevocationList, RevokedKey
from airgap.trust.trust_files import keep, recall
from tests.support.crashes import crash_points
from tests.support.custody import BEGINNING
from tests.support.receipts import make_receipt

KEY, REVOKER = PrivateKey.generate("ed25519"), PrivateKey.generate("ed25519")
Write = Callable[[Path, int], None]
Read = Callable[[Path], int]


def write_receipt(path: Path, number: int) -> None:
    write_receipt_file(path, make_receipt(by=f"run {number}"), [KEY])


def read_by(path: Path) -> int:
    return int(read_receipt(path).receipt.by.removeprefix("run "))


def write_images(path: Path, number: int) -> None:
    name = Reference.parse(f"example.com/app:{number}")
    image = LockedImage(name, Digest.of(b"app"), mediatype.OCI_MANIFEST, 1)
    write_lock(path, Lock.build([image]))


def read_tag(path: Path) -> int:
    [image] = Lock.parse(path.read_bytes()).images
    return int(image.reference.tag or "")


def trusting(path: Path) -> Trust:
    revoker = TrustedKey("security", REVOKER.public, is_revoker=True)
    return Trust((TrustPolicy("here", (revoker,)),), now=BEGINNING, kept_in=path)


def write_revocations(path: Path, number: int) -> None:
    made = RevocationList.build(number, [RevokedKey(KEY.id)], REVOKER)
    keep(trusting(path).learn(made.to_bytes()))


def read_serial(path: Path) -> int:
    [(_, found)] = recall(trusting(path)).revocations.lists
    return found.serial


@pytest.mark.parametrize("left", ["all", "synced"])
@pytest.mark.parametrize(
    ("write", "read"),
    [(write_receipt, read_by), (write_images, read_tag), (write_revocations, read_serial)],
    ids=["receipt", "lock", "revocations"],
)
def test_a_record_that_replaces_another_is_the_old_or_the_new_one(
    tmp_path: Path, write: Write, read: Read, left
) -> None:
    """Wherever the run ends, what is there can be read, and the next run writes as ever."""
    path = tmp_path / "record"
    write(path, 1)
    count = 0
    for _ in crash_points(lambda: write(path, 2), tmp_path, left):
        count += 1
        assert read(path) in (1, 2)
        write(path, 3)
        assert read(path) == 3
        for other in set(tmp_path.iterdir()) - {path}:
            other.unlink()
        path.unlink()
        write(path, 1)
    assert count >= 3
    assert read(path) == 2


def test_what_is_kept_of_revocations_goes_with_none_of_what_another_run_kept(
    tmp_path: Path,
) -> None:
    """A run that learned less does not take back what one beside it has kept meanwhile."""
    path, other = tmp_path / "record", PrivateKey.generate("ed25519")
    both = trusting(path)
    [policy] = both.policies
    more = TrustedKey("other", other.public, is_revoker=True)
    both = replace(both, policies=(replace(policy, keys=(*policy.keys, more)),))
    write_revocations(path, 5)
    theirs = RevocationList.build(1, [RevokedKey(REVOKER.id)], other)
    keep(both.learn(theirs.to_bytes()))
    assert {found.serial for _, found in recall(both).revocations.lists} == {1, 5}


def test_runs_that_keep_revocations_at_once_wait_for_each_other(tmp_path: Path) -> None:
    """Eight of them with a revoker each: no list that one has kept is lost by another."""
    revokers = [PrivateKey.generate("ed25519") for _ in range(8)]
    names = [TrustedKey(f"r{n}", key.public, is_revoker=True) for n, key in enumerate(revokers)]
    everybody = trusting(tmp_path / "record")
    everybody = replace(everybody, policies=(TrustPolicy("here", tuple(names)),))
    children = []
    for number, revoker in enumerate(revokers):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                mine = replace(everybody, policies=(TrustPolicy("mine", (names[number],)),))
                for serial in range(1, 11):
                    made = RevocationList.build(serial, [RevokedKey(KEY.id)], revoker)
                    mine = keep(mine.learn(made.to_bytes()))
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
    assert [found.serial for _, found in recall(everybody).revocations.lists] == [10] * 8
