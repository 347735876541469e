"""Carries container images and every other OCI artifact across an air gap.

The library is the same code that the command line calls:

    from pathlib import Path
    import airgap

    with airgap.Client() as client:
        images = [airgap.Reference.parse("registry.example.com/team/app:1.4")]
        airgap.export_images(images, Path("release.tar"), client=client)

    with airgap.open_bundle(Path("release.tar")) as bundle:
        print(bundle.id, [image.reference.tagged for image in bundle.catalog.images])

    with airgap.Client() as client:
        to = airgap.Destination.parse("registry.internal:5000/mirror")
        airgap.import_bundle(Path("release.tar"), to, client=client)

Nothing is loaded before it is used. What fails raises a class of `airgap.errors`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from airgap.version import __version__

if TYPE_CHECKING:
    from airgap.bundle.check import check_bundle
    from airgap.bundle.reader import BundleReader, open_bundle
    from airgap.errors import AirgapError
    from airgap.oci.digest import Digest
    from airgap.oci.platform import Platform
    from airgap.oci.reference import Reference
    from airgap.registry.client import Client
    from airgap.registry.credentials import Credential, CredentialStore
    from airgap.registry.options import ClientOptions
    from airgap.run import CancelToken, Reporter, Run
    from airgap.transfer.destination import Destination
    from airgap.transfer.export import ExportOptions, export_images, plan_export
    from airgap.transfer.outcome import ExportPlan, ExportResult, ImportResult
    from airgap.transfer.publish import ImportOptions, import_bundle
    from airgap.transfer.repair import RepairOptions, RepairResult, repair_bundle

__all__ = [
    "AirgapError",
    "BundleReader",
    "CancelToken",
    "Client",
    "ClientOptions",
    "Credential",
    "CredentialStore",
    "Destination",
    "Digest",
    "ExportOptions",
    "ExportPlan",
    "ExportResult",
    "ImportOptions",
    "ImportResult",
    "Platform",
    "Reference",
    "RepairOptions",
    "RepairResult",
    "Reporter",
    "Run",
    "__version__",
    "check_bundle",
    "export_images",
    "import_bundle",
    "open_bundle",
    "plan_export",
    "repair_bundle",
]

_HOMES = {
    "airgap.bundle.check": ("check_bundle",),
    "airgap.bundle.reader": ("BundleReader", "open_bundle"),
    "airgap.errors": ("AirgapError",),
    "airgap.oci.digest": ("Digest",),
    "airgap.oci.platform": ("Platform",),
    "airgap.oci.reference": ("Reference",),
    "airgap.registry.client": ("Client",),
    "airgap.registry.credentials": ("Credential", "CredentialStore"),
    "airgap.registry.options": ("ClientOptions",),
    "airgap.run": ("CancelToken", "Reporter", "Run"),
    "airgap.transfer.destination": ("Destination",),
    "airgap.transfer.export": ("ExportOptions", "export_images", "plan_export"),
    "airgap.transfer.outcome": ("ExportPlan", "ExportResult", "ImportResult"),
    "airgap.transfer.publish": ("ImportOptions", "import_bundle"),
    "airgap.transfer.repair": ("RepairOptions", "RepairResult", "repair_bundle"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'airgap' has no attribute {name!r}")
    value: object = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
