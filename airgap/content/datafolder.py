"""What tells the data folder of a registry that airgap serves from other folders."""

from __future__ import annotations

from pathlib import Path

from airgap.content.storage import storage_errors
from airgap.oci.layout import LAYOUT_FILE

VERSION_NAME = "version"
DATABASE_NAME = "registry.db"
UPLOADS_NAME = "uploads"


def is_data_folder(path: Path) -> bool:
    """Whether a registry that airgap serves keeps its data in a folder.

    Raises:
        StorageError: The system does not say.
    """
    with storage_errors(path):
        # Its database may be elsewhere.
        has_database = (path / DATABASE_NAME).is_file() or (path / UPLOADS_NAME).is_dir()
        return has_database and (path / VERSION_NAME).is_file() and (path / LAYOUT_FILE).is_file()
