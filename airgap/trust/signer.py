"""Somebody trusted who has signed. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from airgap.oci.digest import Digest


@dataclass(frozen=True, slots=True)
class Signer:
    """Somebody trusted who has signed.

    Attributes:
        name: What the policy calls them.
        key: The id of the key; None for an identity.
    """

    name: str
    key: Digest | None = None

    def __str__(self) -> str:
        """What people are told."""
        return self.name if self.key is None else f"{self.name} ({self.key.short})"
