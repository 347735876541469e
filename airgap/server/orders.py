"""What can be ordered of a data folder: by a command that works on it, or of its server.

Orders and what they give are plain values, since they may travel through a socket.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection

from airgap.errors import ContentNotFoundError, SettingsError
from airgap.oci.digest import Digest
from airgap.oci.reference import is_repository, is_tag
from airgap.run.cancel import CancelToken
from airgap.server.database.removal import Removal
from airgap.server.datafolder import DataDepot
from airgap.server.gc import collect_garbage

Values = Mapping[str, Any]
Order = Callable[[DataDepot, Values, CancelToken], dict[str, Any]]


class _DryRunEnds(Exception):  # noqa: N818 (it is no error: it takes a transaction back)
    pass


def collect(depot: DataDepot, values: Values, cancel: CancelToken) -> dict[str, Any]:
    """Collect garbage: `untagged_days`, `is_dry_run`."""
    report = collect_garbage(
        depot,
        untagged_days=values.get("untagged_days"),
        is_dry_run=bool(values.get("is_dry_run")),
        cancel=cancel,
    )
    return asdict(report)


def delete_images(depot: DataDepot, values: Values, cancel: CancelToken) -> dict[str, Any]:
    """Delete images: `names`, `keep_newest`, `is_dry_run`.

    With `keep_newest` the names are repositories, or none for all of them. All or nothing.

    Raises:
        ContentNotFoundError: One of them is not there.
        SettingsError: One is no name.
    """
    names, count = [str(name) for name in values["names"]], values.get("keep_newest")
    repositories = names or (list(depot.repositories()) if count is not None else [])
    done: list[Removal] = []

    def work(connection: Connection) -> None:
        cancel.check()
        now = depot.now()
        if count is None:
            done.extend(_remove(connection, name, now) for name in names)
        else:
            done.extend(_keep(connection, name, int(count), now) for name in repositories)
        if values.get("is_dry_run"):
            raise _DryRunEnds

    with suppress(_DryRunEnds):
        depot.metadata.writer.run(work)
    return {"removed": [asdict(removal) for removal in done if removal.tags or removal.manifests]}


def split_image(name: str) -> tuple[str, str]:
    """Split `REPOSITORY:TAG` or `REPOSITORY@DIGEST` of this registry.

    Raises:
        SettingsError: It is neither.
    """
    repository, at, reference = name.partition("@")
    if at:
        Digest.parse(reference)
        # a tag beside a digest says nothing more
        head, colon, tag = repository.rpartition(":")
        repository = head if colon and is_tag(tag) else repository
    else:
        repository, _, reference = name.rpartition(":")
    if not is_repository(repository) or not (at or is_tag(reference)):
        raise SettingsError(
            f"{name[:200]!r} does not name an image of the registry",
            hint="write REPOSITORY:TAG or REPOSITORY@DIGEST, without the host",
        )
    return repository, reference


def _remove(connection: Connection, name: str, now: float) -> Removal:
    repository, reference = split_image(name)
    removal = Removal(repository)
    remove = removal.remove_digest if ":" in reference else removal.remove_tag
    if not remove(connection, reference, now=now):
        raise ContentNotFoundError(f"there is no {name}; nothing was deleted")
    return removal


def _keep(connection: Connection, name: str, count: int, now: float) -> Removal:
    if not is_repository(name):
        raise SettingsError(
            f"{name[:200]!r} is not a repository", hint="with --keep-newest write no tag"
        )
    removal = Removal(name)
    removal.keep_newest(connection, count, now=now)
    return removal


ORDERS: Mapping[str, Order] = MappingProxyType({"gc": collect, "delete": delete_images})
"""What can be ordered, by name."""
