"""Whether an inventory, a receipt or a bundle that an export builds on is signed as demanded."""

from __future__ import annotations

from airgap.record.lock import Lock
from airgap.run import Run
from airgap.transfer.records import OpenedRecord
from airgap.transfer.trusting import learn, tell_signers
from airgap.trust.policy import Trust
from airgap.trust.signatures import Signatures
from airgap.trust.signer import Signer


def record_signers(record: OpenedRecord, trust: Trust | None, *, run: Run) -> tuple[Signer, ...]:
    """Those who are trusted and signed a record, which is checked for that.

    Where somebody is trusted, what has no signature is refused like what has a wrong one. A lock
    file is the exception: it is no word of another side, but a list of one's own.

    Args:
        record: What was opened.
        trust: Who is trusted; None for no demand.
        run: Told who has signed.

    Raises:
        SignatureError: It is not signed well enough.
        BundleFormatError: Its signatures need a newer airgap.
        StorageError: A list of revoked keys that came with it could not be kept.
    """
    if trust is None or isinstance(record.content, Lock):
        return ()
    signatures = Signatures.parse(record.signatures)
    verdict = learn(trust, signatures.revocations).check(
        record.payload, signatures, what=str(record.path)
    )
    tell_signers(verdict, str(record.path), run=run)
    return verdict.signers
