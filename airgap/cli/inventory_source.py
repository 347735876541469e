"""Where an inventory is taken from, and how, as options say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click

from airgap.cli.encryption_options import encrypted_bundle
from airgap.cli.options import FILE, Command, all_of, keep_going_option, list_option
from airgap.cli.repositories import read_repositories
from airgap.cli.session import Session
from airgap.cli.signing_options import signatures_of, trust_of
from airgap.cli.values import as_seekable
from airgap.content.datafolder import is_data_folder
from airgap.content.storage import is_there
from airgap.errors import SettingsError
from airgap.oci.reference import is_repository
from airgap.run import Run
from airgap.transfer.bundle_source import Holdings
from airgap.transfer.destination import Destination
from airgap.transfer.inventory_findings import WalkOptions
from airgap.transfer.inventory_holdings import inventory_of_holdings
from airgap.transfer.inventory_registry import (
    InventoryOptions,
    InventoryOrigin,
    InventoryReport,
    take_inventory,
)
from airgap.transfer.missing import MissingOptions, find_missing
from airgap.transfer.trusting import check_bundle_trust

if TYPE_CHECKING:
    from airgap.registry.client import Client

_OPTIONS = (
    click.option(
        "--from",
        "sources",
        type=click.Path(readable=False),
        multiple=True,
        required=True,
        metavar="REGISTRY|BUNDLE|FOLDER",
        help="A registry as HOST[:PORT], its data folder, or bundles and image layouts"
        " (repeatable for these).",
    ),
    click.option(
        "--repository",
        multiple=True,
        metavar="NAME",
        help="Look at this repository of the registry (repeatable; default: all it lists).",
    ),
    list_option("A list of repositories, one a line"),
    click.option(
        "--referrers/--no-referrers",
        default=True,
        help="Ask what refers to each manifest (default), or do not.",
    ),
    click.option(
        "--check-blobs", is_flag=True, help="Ask the registry for each blob, whether it is there."
    ),
    keep_going_option,
    click.option(
        "--missing-for",
        type=FILE,
        multiple=True,
        metavar="BUNDLE",
        help="Write down what this bundle leaves to the registry and the registry lacks; --from"
        " is what --to would be (repeatable for volumes).",
    ),
    click.option(
        "--keep-host", is_flag=True, help="With --missing-for: as for the import of the bundle."
    ),
    click.option(
        "--only",
        multiple=True,
        metavar="PATTERN",
        help="With --missing-for: look at images whose source name matches (repeatable).",
    ),
    click.option(
        "--mount-from",
        multiple=True,
        metavar="REPOSITORY",
        help="With --missing-for: look in this repository, too (repeatable).",
    ),
    click.option(
        "--database", metavar="URL", help="Where the metadata of a data folder is, as for serve."
    ),
)


class SourceFlags(TypedDict):
    """What says where an inventory is taken from, and how."""

    sources: tuple[str, ...]
    repository: tuple[str, ...]
    file: tuple[Path, ...]
    referrers: bool
    check_blobs: bool
    keep_going: bool
    missing_for: tuple[Path, ...]
    keep_host: bool
    only: tuple[str, ...]
    mount_from: tuple[str, ...]
    database: str | None
    identity: tuple[Path, ...]
    passphrase_file: Path | None


@dataclass(frozen=True, slots=True)
class InventoryPlace:
    """Where an inventory is taken from: one of these.

    Attributes:
        registry: A registry; with a path below which repositories lie, where a need is asked for.
        data: The data folder of a registry that airgap serves.
        paths: Bundles and image layouts.
    """

    registry: Destination | None = None
    data: Path | None = None
    paths: tuple[Path, ...] = ()


def source_options(command: Command) -> Command:
    """Add `--from` and all that says what of it is looked at."""
    return all_of(*_OPTIONS)(command)


def parse_place(flags: SourceFlags) -> InventoryPlace:
    """Tell what `--from` names, and see that the options fit.

    Raises:
        SettingsError: They do not.
    """
    place = _place(flags["sources"])
    for path in flags["missing_for"]:
        as_seekable(path)
    if place.registry is None:
        for name in ("repository", "file", "check_blobs", "missing_for"):
            if flags[name]:
                raise SettingsError(
                    f"--{name.replace('_', '-')} is about a registry, and --from names files",
                    hint="name the registry as HOST:PORT",
                )
    elif place.registry.prefix and not flags["missing_for"]:
        raise SettingsError(
            f"{place.registry} has a path, and an inventory is of a whole registry",
            hint=f"--from {place.registry.registry}; --repository NAME looks at one repository",
        )
    _check_for_bundle(flags)
    if flags["missing_for"] and (flags["repository"] or flags["file"]):
        raise SettingsError(
            "the bundle of --missing-for itself says which repositories are asked",
            hint="leave out --repository and -f",
        )
    if flags["database"] is not None and place.data is None:
        raise SettingsError(
            "--database is about the data folder of a registry", hint="name the folder with --from"
        )
    return place


def _check_for_bundle(flags: SourceFlags) -> None:
    if flags["missing_for"]:
        return
    if flags["only"] or flags["mount_from"] or flags["keep_host"]:
        raise SettingsError(
            "--only, --keep-host and --mount-from are about the images of a bundle",
            hint="name the bundle with --missing-for",
        )
    if flags["identity"] or flags["passphrase_file"]:
        raise SettingsError(
            "--identity and --passphrase-file open the bundle of --missing-for, and nothing else",
            hint="`age -d -i KEY FILE` makes a plain bundle, which --from takes",
        )


def take_from(
    place: InventoryPlace,
    session: Session,
    flags: SourceFlags,
    origin: InventoryOrigin,
    run: Run,
) -> InventoryReport:
    """Take the inventory.

    Raises:
        AirgapError: Something could not be had, unless failures are to be left out.
    """
    if place.registry is not None:
        with session.client(run) as client:
            if flags["missing_for"]:
                return _need(place.registry, client, session, flags, origin, run)
            options = _options(place.registry.registry, session, flags, origin)
            return take_inventory(client, place.registry.registry, options=options, run=run)
    if place.data is not None:
        # only here is a database needed
        from airgap.server.data_inventory import inventory_of_data_folder

        return InventoryReport(
            inventory_of_data_folder(
                place.data, made=origin.made, by=origin.by, database_url=flags["database"]
            )
        )
    with Holdings(place.paths) as holdings:
        trust = trust_of(session)
        detached = signatures_of((), trust, place.paths, run=run)
        for holding in holdings:
            check_bundle_trust(holding.catalog, trust, detached, run=run)
        return InventoryReport(inventory_of_holdings(holdings, origin))


def _place(sources: tuple[str, ...]) -> InventoryPlace:
    if not any(map(_is_path, sources)):
        if len(sources) > 1:
            raise SettingsError(
                "an inventory is of one registry", hint="make one of each, and give --against each"
            )
        return InventoryPlace(registry=Destination.parse(sources[0]))
    for text in sources:
        if not _is_path(text):
            raise SettingsError(
                f"{text!r} is no file, and an inventory is of a registry or of files",
                hint="make one of each, and give --against each",
            )
    paths = tuple(map(_path, sources))
    data = [path for path in paths if is_data_folder(path)]
    if not data:
        return InventoryPlace(paths=paths)
    if len(paths) > 1:
        raise SettingsError(f"{data[0]} is the data of a registry", hint="name it alone")
    return InventoryPlace(data=data[0])


def _is_path(text: str) -> bool:
    looks_so = text.startswith((".", "/", "~")) or text.endswith(".tar")
    return looks_so or is_there(Path(text))


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise SettingsError(
            f"{text}: there is no user of this name with a folder", hint="write the whole path"
        ) from error


def _options(
    registry: str, session: Session, flags: SourceFlags, origin: InventoryOrigin
) -> InventoryOptions:
    walk = WalkOptions(
        jobs=session.settings.jobs,
        keep_going=flags["keep_going"],
        check_blobs=flags["check_blobs"],
        referrers=flags["referrers"],
    )
    names = read_repositories(flags["repository"], flags["file"], registry=registry)
    if flags["file"] and not names:
        raise SettingsError("the list of repositories is empty", hint="a list has one a line")
    cache = session.settings.environment.cache_folder
    return InventoryOptions(origin, names, walk, cache)


def _need(
    to: Destination,
    client: Client,
    session: Session,
    flags: SourceFlags,
    origin: InventoryOrigin,
    run: Run,
) -> InventoryReport:
    for name in flags["mount_from"]:
        if not is_repository(name):
            raise SettingsError(
                f"--mount-from {name!r} is not a repository",
                hint="write its path in the registry, without the registry: team/base",
            )
    bundle, trust = flags["missing_for"], trust_of(session)
    options = MissingOptions(
        made=origin.made,
        by=origin.by,
        keep_host=flags["keep_host"],
        only=flags["only"],
        mount_from=flags["mount_from"],
        jobs=session.settings.jobs,
        trust=trust,
        signatures=signatures_of((), trust, bundle, run=run),
    )
    with encrypted_bundle(bundle, flags["identity"], flags["passphrase_file"], run) as opened:
        return InventoryReport(
            find_missing(opened or bundle, to, client=client, options=options, run=run)
        )
