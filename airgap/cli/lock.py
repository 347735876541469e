"""`airgap lock`: write down what names stand for, or see whether they still stand for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import click

from airgap.cli.invocation import Invocation
from airgap.cli.options import (
    NEW_BUNDLE,
    NetworkFlags,
    jobs_option,
    keep_going_option,
    list_option,
    network_options,
    output_options,
    platform_option,
)
from airgap.cli.output import Output
from airgap.cli.references import Wanted, read_wanted
from airgap.cli.render import failure_lines, partial_error
from airgap.cli.session import Session
from airgap.cli.visible import count_text, cut, size_text
from airgap.errors import ConflictError, SettingsError
from airgap.oci.digest import Digest
from airgap.oci.platform import Platform
from airgap.record.lock import Lock, LockedImage
from airgap.transfer.export import ExportOptions, open_sources
from airgap.transfer.locked import LOCK_FILE, MovedTag, find_moved, make_lock, write_lock
from airgap.transfer.outcome import Failure

COMMAND = "lock"


class LockFlags(NetworkFlags):
    """The options of the command."""

    references: tuple[str, ...]
    output: Path | None
    file: tuple[Path, ...]
    platform: tuple[str, ...]
    check: bool
    keep_going: bool
    jobs: str | None


@dataclass(frozen=True, slots=True)
class LockWritten:
    """A lock that was made, for JSON (docs/json-output.md).

    Attributes:
        path: The file, or `-`.
        id: The digest of the file.
        platforms: The platforms that were asked for; none means all.
        images: What each name stands for.
        failed: References that are not in it.
    """

    path: str
    id: Digest
    platforms: tuple[Platform, ...]
    images: tuple[LockedImage, ...]
    failed: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class LockChecked:
    """Whether tags still stand for what a lock says, for JSON (docs/json-output.md).

    Attributes:
        images: How many images the lock files have.
        moved: The tags that stand for something else, or are gone.
    """

    images: int
    moved: tuple[MovedTag, ...]


@click.command("lock")
@click.argument("references", nargs=-1, metavar="[REFERENCE]...")
@click.option(
    "-o",
    "--output",
    type=NEW_BUNDLE,
    metavar="FILE",
    help="Where the lock goes (default: standard output); one that is there is replaced.",
)
@list_option("A list of references, one a line, or a lock file to renew")
@platform_option("Lock this platform only (repeatable; default: all, or those of the lock file).")
@click.option(
    "--check",
    is_flag=True,
    help="Write nothing: say which tags of the lock file have moved, and exit with 40 then.",
)
@keep_going_option
@jobs_option
@network_options
@output_options
@click.pass_obj
def lock(invocation: Invocation, **flags: Unpack[LockFlags]) -> None:
    """Write down the digest that each name stands for, without exporting.

    `airgap export images -f LOCK` takes exactly these digests for ever, and warns of tags that
    have moved since. A lock file with -f is renewed: its names are looked up again.
    """
    output = flags["output"] or Path("-")
    is_printed = str(output) == "-" and not flags["check"]
    session = Session(invocation, flags, command=COMMAND, is_bundle_on_stdout=is_printed)
    if not (is_printed or flags["check"]):
        LOCK_FILE.before(output)
    wanted = read_wanted(flags["references"], flags["file"])
    if flags["check"]:
        _check(session, flags, wanted)
        return
    options = ExportOptions(
        platforms=tuple(map(Platform.parse, flags["platform"])) or wanted.platforms,
        referrers=False,
        jobs=session.settings.jobs,
        keep_going=flags["keep_going"],
    )
    named = {image.pinned: image.reference for known in wanted.locks for image in known.images}
    references = tuple(dict.fromkeys(named.get(r, r) for r in wanted.references))
    with session.run() as run, session.client(run) as client:
        registries = len({reference.registry for reference in references})
        sources = open_sources(client, registries=registries, jobs=options.jobs, run=run)
        made = make_lock(references, sources=sources, options=options, run=run)
        _write(output, made.lock)
        written = LockWritten(
            str(output), made.lock.id, made.lock.platforms, made.lock.images, made.failed
        )
        session.show_result(written, lambda: _lines(written))
        if made.failed:
            raise partial_error(made.failed, "locked")


def _check(session: Session, flags: LockFlags, wanted: Wanted) -> None:
    has_more = flags["references"] or flags["output"] or flags["platform"]
    if has_more or not wanted.locks or len(flags["file"]) > len(wanted.locks):
        raise SettingsError(
            "--check looks at lock files and at nothing else", hint="airgap lock --check -f LOCK"
        )
    count = sum(len(known.images) for known in wanted.locks)
    with session.run() as run, session.client(run) as client:
        registries = len({reference.registry for reference in wanted.references})
        sources = open_sources(
            client, registries=max(1, registries), jobs=session.settings.jobs, run=run
        )
        moved = find_moved(wanted.locks, sources=sources, run=run)
        session.show_result(LockChecked(count, moved), lambda: _checked_lines(count, moved))
        if moved:
            raise ConflictError(
                f"{count_text(len(moved), 'tag')} of {count_text(count, 'image')} "
                f"{'does' if len(moved) == 1 else 'do'} not stand for what the lock says",
                hint="`airgap lock -f LOCK -o LOCK` takes over what they stand for now",
                origin="source",
            )


def _write(output: Path, made: Lock) -> None:
    if str(output) != "-":
        write_lock(output, made)
        return
    Output(sys.stdout).write_bytes(made.to_bytes())


def _lines(written: LockWritten) -> Iterator[str]:
    yield from cut(
        f"  {image.reference.tagged}  {size_text(image.size)}  {image.digest}"
        for image in written.images
    )
    where = "standard output" if written.path == "-" else written.path
    yield f"{where}: {count_text(len(written.images), 'image')}"
    yield from failure_lines(written.failed)


def _checked_lines(count: int, moved: tuple[MovedTag, ...]) -> Iterator[str]:
    yield from cut(f"  {tag}" for tag in moved)
    yield f"{count_text(count, 'image')}: {count_text(len(moved), 'tag')} moved"
