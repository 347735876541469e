"""The one place where a bundle is let in or refused for its signatures."""

from __future__ import annotations

from airgap.bundle.catalog import Catalog
from airgap.trust.policy import Trust, Verdict
from airgap.trust.signatures import Signatures
from airgap.trust.trust_files import keep, recall


def check_bundle_trust(
    catalog: Catalog, trust: Trust | None, detached: Signatures | None = None
) -> Verdict | None:
    """Refuse a bundle that is not signed as is demanded; None where nothing is demanded.

    A list of revoked keys that comes with it is kept first: it counts whatever comes of the bundle.

    Args:
        catalog: What the bundle carries, with the signatures in its front.
        trust: Who is trusted; None for no demand.
        detached: Signatures that came beside it.

    Raises:
        SignatureError: It is not signed well enough.
        BundleFormatError: Its signatures need a newer airgap.
        StorageError: A list of revoked keys could not be kept.
    """
    if trust is None:
        return None
    signatures = Signatures.parse(catalog.signatures).merge(detached or Signatures())
    trust = learn(trust, signatures.revocations)
    return trust.check(catalog.raw, signatures)


def learn(trust: Trust, revocations: bytes) -> Trust:
    """Trust that knows a list of revoked keys, which is kept where it is news.

    Raises:
        SignatureError: The list is damaged.
        BundleFormatError: It needs a newer airgap.
        StorageError: It could not be kept.
    """
    learned = trust.learn(revocations)
    if learned != trust:
        learned = recall(learned)  # another run may have kept more meanwhile
        keep(learned)
    return learned
