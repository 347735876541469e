"""Files that are records of one kind: read as such, and replaced by no other kind of file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from airgap.content.storage import is_folder, storage_errors
from airgap.errors import (
    AirgapError,
    BundleFormatError,
    ConflictError,
    SettingsError,
    StorageError,
)
from airgap.transfer.records import OpenedRecord, open_record
from airgap.trust import signed
from airgap.trust.keys import PrivateKey
from airgap.trust.signatures import Signatures

Content = TypeVar("Content")


@dataclass(frozen=True, slots=True)
class RecordFile(Generic[Content]):
    """What files of one kind of record are.

    Attributes:
        kind: What they say.
        name: What one is called.
        maker: The command that makes one, for hints.
    """

    kind: type[Content]
    name: str
    maker: str

    def read(self, path: Path) -> tuple[Content, OpenedRecord]:
        """Read a file. No signature is checked.

        Returns:
            What it says, and the record with what it was signed with.

        Raises:
            ContentNotFoundError: There is no such file.
            StorageError: It cannot be read.
            BundleFormatError: It is of another kind, is damaged, or needs a newer airgap.
            SignatureError: The signatures behind it are cut short.
        """
        wrong = BundleFormatError(
            f"{path} is no {self.name}", hint=f"`{self.maker}` makes one", origin="local"
        )
        if is_folder(path):
            raise wrong
        record = open_record(path, unknown=wrong)
        if not isinstance(record.content, self.kind):
            raise wrong
        return record.content, record

    def before(self, path: Path) -> Content | None:
        """What a new file would replace; None where there is nothing.

        Raises:
            SettingsError: It cannot be written there.
            ConflictError: What is there is something else.
            StorageError: It cannot be looked at.
        """
        if str(path) == "-":
            raise SettingsError(
                f"no {self.name} can be written to standard output here", hint="name a file"
            )
        folder = path.absolute().parent
        if is_folder(path) or not is_folder(folder):
            raise SettingsError(
                f"no {self.name} can be written to {path}: "
                + ("it is a folder" if is_folder(path) else f"there is no folder {path.parent}"),
                hint="name a file in a folder that is there",
            )
        with storage_errors(path):
            if not path.exists():
                return None
            if not path.is_file():
                raise SettingsError(
                    f"no {self.name} can be written to {path}: it is a device or a pipe",
                    hint="name a file",
                )
        try:
            return self.read(path)[0]
        except StorageError:
            raise
        except AirgapError as error:
            plain = f"{path} is no {self.name}"
            raise ConflictError(
                f"{path} is there and is no {self.name}"
                + ("" if error.message == plain else f": {error.message}"),
                hint="give the new one another name, or remove this",
                origin="local",
            ) from error


def signed_bytes(payload: bytes, keys: Sequence[PrivateKey]) -> bytes:
    """A record and its signatures, as they stand in a file.

    Args:
        payload: The record.
        keys: Those who sign it; none leave it as it is.
    """
    return signed.join(payload, Signatures.sign(payload, keys).to_bytes() if keys else b"")
