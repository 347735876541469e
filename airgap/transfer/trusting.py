"""The one place where a bundle is let in or refused for its signatures."""

from __future__ import annotations

from airgap.bundle.catalog import Catalog
from airgap.bundle.finding import Finding
from airgap.errors import BundleFormatError, SignatureError
from airgap.run import Run
from airgap.run.events import Notice
from airgap.trust.policy import Trust, Verdict
from airgap.trust.signatures import Signatures
from airgap.trust.signer import Signer
from airgap.trust.trust_files import keep

_SHOWN = 3


def check_bundle_trust(
    catalog: Catalog,
    trust: Trust | None,
    detached: Signatures | None = None,
    *,
    run: Run | None = None,
) -> Verdict | None:
    """Refuse a bundle that is not signed as is demanded; None where nothing is demanded.

    A list of revoked keys that comes with it is kept first: it counts whatever comes of the bundle.

    Args:
        catalog: What the bundle carries, with the signatures in its front.
        trust: Who is trusted; None for no demand.
        detached: Signatures that came beside it.
        run: Told who has signed.

    Raises:
        SignatureError: It is not signed well enough.
        BundleFormatError: Its signatures need a newer airgap.
        StorageError: A list of revoked keys could not be kept.
    """
    if trust is None:
        return None
    signatures = Signatures.parse(catalog.signatures).merge(detached or Signatures())
    before, trust = trust, learn(trust, signatures.revocations)
    verdict = trust.check(catalog.raw, signatures)
    if run is not None:
        _tell_revoked(before, trust, run)
        tell_signers(verdict, "the bundle", run=run)
    return verdict


class BundleJudge:
    """Judges the signatures of a bundle that is verified.

    Args:
        trust: Who is trusted.
        detached: Signatures that came beside the bundle.
        run: Told who has signed.

    Attributes:
        signers: Afterwards: those who are trusted and have signed.
    """

    def __init__(self, trust: Trust, detached: Signatures, *, run: Run) -> None:
        self._trust = trust
        self._detached = detached
        self._run = run
        self.signers: tuple[Signer, ...] = ()

    def find_problem(self, catalog: Catalog) -> Finding | None:
        """What is wrong with the signatures of a catalog; None for nothing.

        Raises:
            StorageError: A list of revoked keys could not be kept.
        """
        try:
            verdict = check_bundle_trust(catalog, self._trust, self._detached, run=self._run)
        except (SignatureError, BundleFormatError) as error:
            return Finding("signature", error.message, error.hint)
        self.signers = verdict.signers if verdict is not None else ()
        return None


def tell_signers(verdict: Verdict, what: str, *, run: Run) -> None:
    """Say who has signed something, and what is worth knowing of other signatures."""
    names = ", ".join(map(str, verdict.signers))
    run.emit(Notice("info", "signed", f"{what} is signed by {names}"))
    for note in verdict.notes:
        run.warn("signature", note)


def _tell_revoked(before: Trust, now: Trust, run: Run) -> None:
    """Say which keys count no more since a list came."""
    known = before.revocations.keys
    new = [one for key, one in now.revocations.keys.items() if key not in known]
    if new:
        shown = ", ".join(
            f"{one.key.short}{f' ({one.reason})' if one.reason else ''}" for one in new[:_SHOWN]
        ) + (f" and {len(new) - _SHOWN} more" if new[_SHOWN:] else "")
        run.emit(Notice("info", "revoked", f"the bundle says that these keys are revoked: {shown}"))


def learn(trust: Trust, revocations: bytes) -> Trust:
    """Trust that knows a list of revoked keys, which is kept where it is news.

    Raises:
        SignatureError: The list is damaged.
        BundleFormatError: It needs a newer airgap.
        StorageError: It could not be kept.
    """
    learned = trust.learn(revocations)
    return keep(learned) if learned != trust else learned
