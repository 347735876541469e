"""Writing a bundle encrypted: each volume front to back, one for each core.

A volume that was begun begins anew, since what was encrypted cannot be gone on with; those that
were finished stay. What lies beside them says which these are.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from airgap.bundle.envelope import SUFFIX, Envelope, EnvelopeEntry
from airgap.bundle.envelope_file import ENDING, KEY_ENDING, read_envelope
from airgap.bundle.partial import PartialFile, partial_path
from airgap.bundle.pipe import PipeWriter
from airgap.bundle.volume_names import beside, volume_path
from airgap.bundle.volumes import VolumePlan
from airgap.content.age import BLOCK, Identities, Recipients, new_key
from airgap.content.age_streams import EncryptingStream
from airgap.content.atomic import write_file
from airgap.content.filesystem import file_system
from airgap.content.posix import free_bytes
from airgap.content.storage import storage_errors
from airgap.errors import (
    AirgapError,
    BundleFormatError,
    ConflictError,
    StorageError,
    StorageFullError,
    UnauthorizedError,
)
from airgap.oci.digest import Digest
from airgap.run import Run
from airgap.transfer.fetch import Fetcher
from airgap.transfer.plan import Fetch
from airgap.transfer.workers import Workers
from airgap.wording import size_text

_MOST = 4
"""So many volumes are written at once: each takes a process, and some 25 MiB."""

Fetchers = Callable[[PipeWriter, Run], Fetcher]
"""Makes what brings blobs into one volume."""


@dataclass(frozen=True, slots=True)
class Encryption:
    """How a bundle is encrypted: to recipients, or with a passphrase.

    Attributes:
        recipients: Who can read it.
        passphrase: What opens the key that lies beside the bundle, where there are none.
    """

    recipients: Recipients | None = None
    passphrase: str | None = field(default=None, repr=False)

    def room(self, limit: int) -> int:
        """How many bytes of a bundle an encrypted file of a size holds."""
        return (self.recipients or Recipients(("",))).room(limit)


class EncryptedTarget:
    """Where a bundle is written encrypted.

    Args:
        path: Its name as a whole, with or without `.age`.
        encryption: Who can read it.
        overwrite: Whether what has its names may be replaced.
        run: Progress and cancellation.

    Raises:
        ConflictError: It is there already.
        UnauthorizedError: What is there has another passphrase.
        StorageError: What was begun cannot be read.
    """

    def __init__(self, path: Path, encryption: Encryption, *, overwrite: bool, run: Run) -> None:
        self.path = path.with_name(path.name.removesuffix(ENDING))
        self._overwrite = overwrite
        self._run = run
        self._lock = threading.Lock()
        self._envelope_path = beside(self.path, SUFFIX)
        self._begun = self._find_begun()
        self._recipients, self._key = self._keys(encryption)
        self._envelope: Envelope | None = None
        self._volumes: VolumePlan | None = None

    def begin(self, volumes: VolumePlan) -> tuple[int, ...]:
        """Take over what is finished of this plan, and see that there is room for the rest.

        Returns:
            The volumes that are to be written, from 0.

        Raises:
            ConflictError: Something else was begun under these names.
            StorageFullError: There is no room.
            StorageError: The file system does not take such files.
        """
        self._volumes = volumes
        keys = Digest.of("\n".join(sorted(self._recipients.lines)).encode())
        fresh = Envelope(volumes.catalog.id, volumes.count, BLOCK, (), keys)
        begun, self._envelope = self._begun, fresh
        if begun is not None and replace(begun, entries=()) == fresh:
            kept = (entry for entry in begun.entries if self._is_there(entry, volumes))
            self._envelope = replace(fresh, entries=tuple(kept))
        elif begun is not None and not self._overwrite:
            raise ConflictError(
                f"{self._envelope_path}: another bundle was begun here, or for other readers",
                hint="run the same command as before, or replace it with --overwrite",
                origin="local",
            )
        missing = tuple(n for n in range(volumes.count) if not self._envelope.entry(n + 1))
        self._check_room(missing, volumes)
        if self._key is not None:
            write_file(beside(self.path, KEY_ENDING), self._key, mode=0o600)
        self._write_envelope()
        return missing

    def held(self) -> Mapping[Digest, int]:
        """The blobs that lie whole in finished volumes."""
        assert self._volumes is not None, "begin() comes first"
        assert self._envelope is not None
        return {
            extent.digest: extent.length
            for entry in self._envelope.entries
            for extent in self._volumes.placements[entry.volume - 1]
            if extent.start is None
        }

    def write(
        self,
        missing: Iterable[int],
        fetches: Iterable[Fetch],
        fetchers: Fetchers,
        *,
        ends: Run | None = None,
    ) -> int:
        """Write volumes, and say how many bytes came from sources.

        Args:
            missing: Which, from 0.
            fetches: How each blob of the bundle is had.
            fetchers: Makes what brings the blobs of one volume.
            ends: A wider run that a failure ends.

        Raises:
            AirgapError: One failed; those that were finished stay.
        """
        by_digest = {fetch.descriptor.digest: fetch for fetch in fetches}
        numbers = list(missing)
        count = max(1, min(len(numbers), os.cpu_count() or 1, _MOST))
        workers = Workers(count, run=self._run, ends=ends)
        moved: list[int] = []

        def task(number: int) -> Callable[[], None]:
            return lambda: moved.append(self._write(number, by_digest, fetchers, workers.run))

        workers.finish([task(number) for number in numbers])
        return sum(moved)

    def finish(self) -> tuple[tuple[Path, ...], tuple[int, ...]]:
        """Say beside the files that they are all there, and give them with their sizes."""
        assert self._envelope is not None, "begin() comes first"
        self._envelope = replace(self._envelope, keys=None)
        self._write_envelope()
        entries = self._envelope.entries
        files = tuple(self.path.with_name(entry.name) for entry in entries)
        return files, tuple(entry.size for entry in entries)

    def _write(
        self, number: int, fetches: Mapping[Digest, Fetch], fetchers: Fetchers, run: Run
    ) -> int:
        assert self._volumes is not None, "begin() comes first"
        layout = self._volumes.layout(number)
        path = self._file(number)
        partial = PartialFile(path, overwrite=self._overwrite)
        try:
            partial.cut(0)
            with EncryptingStream(partial.fileno(), self._recipients, name=str(path)) as stream:
                with PipeWriter(stream, run=run, name=str(path)) as writer:
                    writer.begin(layout)
                    fetcher = fetchers(writer, run)
                    fetcher.fetch_in_order(fetches[extent.digest] for extent in layout.blobs)
                    writer.finish()
                found = stream.finish()
            entry = EnvelopeEntry(number + 1, path.name, found.size, layout.size, found.blocks)
            # First what says that it is right, then its name: a name alone would prove nothing.
            self._note(entry)
            partial.publish()
        except BaseException:
            with suppress(AirgapError):  # a medium that is gone says so twice
                partial.cut(0)
            raise
        finally:
            partial.close()
        return fetcher.fetched_bytes

    def _note(self, entry: EnvelopeEntry) -> None:
        with self._lock:
            assert self._envelope is not None, "begin() comes first"
            entries = sorted([*self._envelope.entries, entry], key=lambda found: found.volume)
            self._envelope = replace(self._envelope, entries=tuple(entries))
            self._write_envelope()

    def _write_envelope(self) -> None:
        assert self._envelope is not None, "begin() comes first"
        write_file(self._envelope_path, self._envelope.to_bytes())

    def _file(self, number: int) -> Path:
        assert self._volumes is not None, "begin() comes first"
        path = volume_path(self.path, number + 1) if self._volumes.is_split else self.path
        return path.with_name(path.name + ENDING)

    def _is_there(self, entry: EnvelopeEntry, volumes: VolumePlan) -> bool:
        path = self._file(entry.volume - 1)
        with storage_errors(path):
            return (
                entry.name == path.name
                and entry.content == volumes.sizes[entry.volume - 1]
                # it is noted before it gets its name: what has that may still be another one
                and not partial_path(path).exists()
                and path.is_file()
                and path.stat().st_size == entry.size
            )

    def _find_begun(self) -> Envelope | None:
        """What an earlier run left unfinished here."""
        try:
            begun = read_envelope(self._envelope_path)
        except BundleFormatError:
            if self._overwrite:
                return None
            raise
        if begun is None or begun.keys is not None:
            return begun
        if not self._overwrite:
            raise ConflictError(
                f"{self._envelope_path} exists", hint="--overwrite replaces it", origin="local"
            )
        return None

    def _keys(self, encryption: Encryption) -> tuple[Recipients, bytes | None]:
        if encryption.recipients is not None:
            return encryption.recipients, None
        passphrase = encryption.passphrase
        assert passphrase is not None, "either is given"
        path = beside(self.path, KEY_ENDING)
        if path.exists():
            if self._begun is None and not self._overwrite:
                raise ConflictError(
                    f"{path} exists", hint="--overwrite replaces it", origin="local"
                )
            # It opens what is there, until all of that is replaced: so it stays.
            try:
                return Identities.read([path], lambda _: passphrase).recipients, None
            except UnauthorizedError as error:
                error.hint = "give the passphrase as before, or choose another name with -o"
                raise
        return new_key(passphrase)

    def _check_room(self, missing: tuple[int, ...], volumes: VolumePlan) -> None:
        folder = self.path.parent
        sizes = [self._recipients.most(volumes.sizes[number]) for number in missing]
        limit = file_system(folder).max_file
        if limit is not None and max(sizes, default=0) > limit:
            raise StorageError(
                f"{folder} takes no file of more than {limit:,} bytes",
                hint="add --volume-size fat32",
                origin="local",
            )
        with storage_errors(folder):
            free = free_bytes(folder) if folder.is_dir() else sum(sizes)
            # what a killed run left begins anew in its place
            begun = (partial_path(self._file(number)) for number in missing)
            free += sum(path.stat().st_blocks * 512 for path in begun if path.is_file())
        if sum(sizes) > free:
            raise StorageFullError(
                f"{folder}: the bundle needs {size_text(sum(sizes))} more, "
                f"and {size_text(free)} are free",
                hint="make room, or choose another place with -o",
                origin="local",
            )
