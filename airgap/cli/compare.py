"""`airgap compare`: what is different between two places."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Unpack

import click

from airgap.cli.author import author_name
from airgap.cli.invocation import Invocation
from airgap.cli.options import NetworkFlags, jobs_option, network_options, output_options
from airgap.cli.references import read_wanted
from airgap.cli.session import Session
from airgap.cli.visible import count_text, cut, size_text
from airgap.content.storage import is_there
from airgap.errors import DifferenceError, UnavailableError
from airgap.registry.client import Client
from airgap.transfer.comparison import (
    Amount,
    ChangedImage,
    Comparison,
    NamedImage,
    Naming,
    Side,
    SideKind,
    compare,
)
from airgap.transfer.comparison_sides import SideOpener, is_list
from airgap.transfer.destination import Destination
from airgap.transfer.inventory_registry import InventoryOrigin
from airgap.version import __version__

COMMAND = "compare"


class CompareFlags(NetworkFlags):
    """The options of the command."""

    a: str
    b: str
    prefix: str | None
    keep_host: bool
    exit_code: bool
    jobs: str | None


@dataclass(frozen=True, slots=True)
class ComparedSide:
    """One of the two places, for JSON (docs/json-output.md)."""

    name: str
    kind: SideKind
    images: int
    left_blobs: int


@dataclass(frozen=True, slots=True)
class CompareResult:
    """How two places differ, for JSON (docs/json-output.md)."""

    a: ComparedSide
    b: ComparedSide
    equal: bool
    added: tuple[NamedImage, ...]
    removed: tuple[NamedImage, ...]
    changed: tuple[ChangedImage, ...]
    same: int
    only_a: Amount | None
    only_b: Amount | None
    common: Amount | None


@click.command("compare")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option(
    "--prefix",
    metavar="PATH",
    help="Images of bundles, locks and lists lie below this path at the registry.",
)
@click.option("--keep-host", is_flag=True, help="They were imported with --keep-host.")
@click.option("--exit-code", is_flag=True, help="Exit with 3 where anything is different.")
@jobs_option
@network_options
@output_options
@click.pass_obj
def compare_places(invocation: Invocation, **flags: Unpack[CompareFlags]) -> None:
    """Show which images are added, removed and changed from A to B, and how many bytes.

    A and B are each a bundle (a file, or the folder of its volumes), its catalog, an image layout,
    an inventory, a receipt, a lock file, a list of references (looked up at their registries), or
    a registry as HOST[:PORT][/PREFIX].

    Images are compared by their full source names where both sides know these, and else by what an
    import makes of them. Of a bundle counts what it carries, not what it leaves to its receiver.
    """
    session = Session(invocation, flags, command=COMMAND)
    naming = Naming(flags["prefix"], flags["keep_host"])
    with session.run() as run, ExitStack() as stack:

        @cache
        def client() -> Client:
            return stack.enter_context(session.client(run))

        origin = InventoryOrigin(datetime.now(UTC), author_name(), __version__)
        cached = session.settings.environment.cache_folder
        opener = SideOpener(client, origin, session.settings.jobs, run, cached)
        a, b = (_side(flags[name], opener) for name in ("a", "b"))
        result = _result(a, b, compare(a, b, naming))
        session.show_result(result, lambda: _lines(result))
        if flags["exit_code"] and not result.equal:
            raise DifferenceError(f"{a.name} and {b.name} are different")


def _side(text: str, opener: SideOpener) -> Side:
    path = Path(text)
    if not is_there(path) and not text.startswith((".", "/")):
        try:
            return opener.registry(Destination.parse(text))
        except UnavailableError as error:
            # whoever mistypes the name of a file gets asked for a registry
            error.hint = f"there is no file of this name either; {error.hint or 'check it'}"
            raise
    if is_list(path):
        return opener.references(text, read_wanted((), [path]).references)
    return opener.record(path)


def _result(a: Side, b: Side, found: Comparison) -> CompareResult:
    return CompareResult(
        _compared(a),
        _compared(b),
        found.is_equal,
        found.added,
        found.removed,
        found.changed,
        found.same,
        found.only_a,
        found.only_b,
        found.common,
    )


def _compared(side: Side) -> ComparedSide:
    return ComparedSide(side.name, side.kind, side.image_count, side.left)


def _lines(result: CompareResult) -> Iterator[str]:
    yield from cut(f"added: {image.name}  {image.digest}" for image in result.added)
    yield from cut(f"removed: {image.name}  {image.digest}" for image in result.removed)
    yield from cut(
        f"changed: {image.name}  {image.before} -> {image.after}" for image in result.changed
    )
    for letter, side in (("A", result.a), ("B", result.b)):
        left = count_text(side.left_blobs, "blob")
        note = f", {left} left to the receiver" if side.left_blobs else ""
        yield f"{letter}: {side.name}: {count_text(side.images, 'image')}{note} ({side.kind})"
    yield (
        f"images: {len(result.added):,} added, {len(result.removed):,} removed, "
        f"{len(result.changed):,} changed, {result.same:,} the same"
    )
    if result.only_a is None or result.only_b is None or result.common is None:
        yield "content: not known of both"
    else:
        yield (
            f"content: {_amount_text(result.only_a)} only in A, {_amount_text(result.only_b)} "
            f"only in B, {_amount_text(result.common)} in both"
        )
    yield "equal" if result.equal else "different"


def _amount_text(amount: Amount) -> str:
    return f"{size_text(amount.size)} ({count_text(amount.blobs, 'blob')})"
