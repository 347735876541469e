"""Whether an inventory, a receipt or a bundle that an export builds on is signed as demanded."""

from __future__ import annotations

from airgap.errors import SignatureError
from airgap.record.lock import Lock
from airgap.run import Run
from airgap.transfer.records import OpenedRecord
from airgap.transfer.trusting import learn, tell_signers
from airgap.trust.policy import Trust
from airgap.trust.signatures import Signatures
from airgap.trust.signer import Signer

_LOCKS = (".lock", ".toml")
"""How the names of lock files end."""


def record_signers(record: OpenedRecord, trust: Trust | None, *, run: Run) -> tuple[Signer, ...]:
    """Those who are trusted and signed a record, which is checked for that.

    Where somebody is trusted, what has no signature is refused like what has a wrong one. A lock
    file is the exception: it is no word of another side, but a list of one's own. So its name must
    say that it is one, or it could take the place of an inventory that must be signed.

    Args:
        record: What was opened.
        trust: Who is trusted; None for no demand.
        run: Told who has signed.

    Raises:
        SignatureError: It is not signed well enough.
        BundleFormatError: Its signatures need a newer airgap.
        StorageError: A list of revoked keys that came with it could not be kept.
    """
    if trust is None:
        return ()
    if isinstance(record.content, Lock):
        if record.path.suffix not in _LOCKS:
            raise SignatureError(
                f"{record.path} is not signed: it is a lock file, and its name does not say so",
                hint="it may have taken another file's place; call a lock file of your own *.lock",
            )
        return ()
    signatures = Signatures.parse(record.signatures)
    verdict = learn(trust, signatures.revocations).check(
        record.payload, signatures, what=str(record.path)
    )
    tell_signers(verdict, str(record.path), run=run)
    return verdict.signers
