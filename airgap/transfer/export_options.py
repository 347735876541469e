"""What of the images is exported, and how."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from airgap.errors import SettingsError
from airgap.oci.digest import Digest
from airgap.oci.platform import Platform
from airgap.transfer.protect import ProtectOptions
from airgap.transfer.resolution import Selection

if TYPE_CHECKING:  # who wants one of these has loaded it
    from airgap.bundle.catalog import Catalog
    from airgap.transfer.encrypted import Encryption
    from airgap.transfer.image_policy import RequiredKey
    from airgap.transfer.known import Known
    from airgap.trust.keys import PrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What of the images is exported, and how.

    Attributes:
        platforms: The platforms that travel; none means all.
        referrers: Whether signatures, SBOMs and all else that refers to an image go with it.
        allow_missing_at_source: Whether what the source lacks is left out, and listed.
        non_distributable: Whether non-distributable layers are fetched.
        load_platform: The platform of an index that engines without indexes load.
        jobs: How many requests each registry gets at a time.
        overwrite: Whether an existing bundle is replaced.
        keep_going: Whether what fails is left out instead of ending the export.
        volume_size: The most bytes of a file; None means that all goes into one.
        protect: What is written beside the bundle.
        encrypt: Who alone can read it; None for everybody.
        known: What the receiver has, which is left to it; None for nothing.
        lock: The file that says in the end what each name stood for; None for none.
        sign: The keys that sign the bundle.
        revocations: The signed list of revoked keys that travels in it; empty for none.
        originals: What bundles say that stand in for registries: where the same travels on, its
            signatures do, too.
        require_signature: Whose signatures every image must have before anything travels.
    """

    platforms: tuple[Platform, ...] = ()
    referrers: bool = True
    allow_missing_at_source: bool = False
    non_distributable: bool = False
    load_platform: Platform | None = None
    jobs: int = 4
    overwrite: bool = False
    keep_going: bool = False
    volume_size: int | None = None
    protect: ProtectOptions = field(default_factory=ProtectOptions)
    encrypt: Encryption | None = None
    known: Known | None = None
    lock: Path | None = None
    sign: tuple[PrivateKey, ...] = ()
    revocations: bytes = b""
    originals: tuple[Catalog, ...] = ()
    require_signature: tuple[RequiredKey, ...] = ()

    def check_spreadable(self) -> None:
        """See that the bundle comes in pieces that can be shared out to media.

        Raises:
            SettingsError: It does not.
        """
        if self.volume_size is None or self.encrypt is not None:
            raise SettingsError(
                "--spread needs --volume-size, and volumes that are not encrypted",
                hint="--volume-size says how large the pieces are that are shared out to media",
            )

    def out_of(self, originals: tuple[Catalog, ...]) -> ExportOptions:
        """The same for an export out of bundles, which say themselves what they left out.

        Args:
            originals: What they say that they carry; all of that travels on.
        """
        return replace(self, non_distributable=True, originals=originals)

    @property
    def selection(self) -> Selection:
        """What of an image is wanted."""
        return Selection(
            self.platforms,
            self.referrers,
            self.allow_missing_at_source,
            self.non_distributable,
            self.load_platform,
        )

    @property
    def conditions(self) -> tuple[str, ...]:
        """Whose signatures images must have, what it is planned against, and who signs it."""
        keys = (str(required.key.id) for required in self.require_signature)
        bases = map(str, sorted(self.known.given)) if self.known else ()
        signers = (f"signed by {key.id}" for key in sorted(self.sign, key=lambda key: key.id))
        lists = (f"revocations {Digest.of(self.revocations)}",) if self.revocations else ()
        return *keys, *bases, *signers, *lists
