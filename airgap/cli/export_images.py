"""`airgap export images`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Unpack

import click

from airgap.bundle.media_sizes import parse_volume_size
from airgap.bundle.parity import ParityRequest
from airgap.cli.against_options import (
    AgainstFlags,
    against_options,
    check_against,
    receiver_options,
)
from airgap.cli.custody import custody, file_names
from airgap.cli.encryption_options import encrypt_options, encryption
from airgap.cli.image_policy_options import image_policy_options, required_keys
from airgap.cli.invocation import Invocation
from airgap.cli.keyless_options import identities_of
from airgap.cli.media_prompt import between_media, check_next_command, media_options
from airgap.cli.options import (
    FILE,
    NEW_BUNDLE,
    CustodyFlags,
    NetworkFlags,
    custody_option,
    jobs_option,
    keep_going_option,
    list_option,
    network_options,
    output_options,
    platform_option,
)
from airgap.cli.references import Wanted, read_wanted
from airgap.cli.render import export_lines, partial_error, plan_lines, spread_lines
from airgap.cli.session import Session
from airgap.cli.signing_options import (
    SignatureFlags,
    SignFlags,
    read_revocations,
    revocations_option,
    sign_options,
    signature_option,
    signatures_of,
    signers,
    trust_of,
    trust_options,
)
from airgap.cli.values import as_size
from airgap.errors import SettingsError
from airgap.oci.platform import Platform
from airgap.oci.reference import Reference
from airgap.registry.client import Client
from airgap.run import Run
from airgap.transfer.export import ExportOptions, plan_export
from airgap.transfer.export import export_images as run_export
from airgap.transfer.protect import DEFAULT_MEMORY, ProtectOptions

if TYPE_CHECKING:  # the most usual export starts without what its options do not ask for
    from airgap.transfer.against import Check
    from airgap.transfer.bundle_source import Holdings
    from airgap.transfer.spread import Spreading
    from airgap.transfer.spread_outcome import SpreadResult

COMMAND = "export images"


class ExportFlags(NetworkFlags, CustodyFlags, AgainstFlags, SignFlags, SignatureFlags):
    """The options of the command."""

    references: tuple[str, ...]
    output: Path
    file: tuple[Path, ...]
    sources: tuple[Path, ...]
    only: tuple[str, ...]
    platform: tuple[str, ...]
    load_platform: str | None
    referrers: bool
    revocations: Path | None
    require_signature: tuple[Path, ...]
    allow_missing_at_source: bool
    non_distributable: bool
    jobs: str | None
    dry_run: bool
    overwrite: bool
    keep_going: bool
    volume_size: str | None
    parity: str | None
    parity_memory: str | None
    checksums: bool
    encrypt_to: tuple[str, ...]
    passphrase: bool
    passphrase_file: Path | None
    spread: bool
    state: Path | None
    scratch: Path | None
    next_command: str | None


@click.command("images")
@click.argument("references", nargs=-1, metavar="[REFERENCE]...")
@click.option(
    "-o",
    "--output",
    type=NEW_BUNDLE,
    required=True,
    metavar="BUNDLE",
    help="Where the bundle goes; - is standard output.",
)
@list_option("A list of references, one a line, or a lock file")
@against_options
@click.option(
    "--from",
    "sources",
    type=FILE,
    multiple=True,
    metavar="BUNDLE|FOLDER",
    help="Take images from this bundle or image layout and from no registry (repeatable).",
)
@click.option(
    "--only",
    multiple=True,
    metavar="PATTERN",
    help="Of --from, take images whose source name matches (repeatable).",
)
@platform_option("Take this platform only (repeatable; default: all).")
@click.option(
    "--load-platform",
    metavar="OS/ARCH[/VARIANT]",
    help="What docker load gets of an image for several platforms (default: linux/amd64).",
)
@click.option(
    "--referrers/--no-referrers",
    default=True,
    help="Take signatures, SBOMs and all else that refers to an image (default), or do not.",
)
@sign_options
@revocations_option
@trust_options
@signature_option
@image_policy_options
@click.option(
    "--allow-missing-at-source",
    is_flag=True,
    help="List what the source itself lacks as left out, instead of failing.",
)
@click.option("--non-distributable", is_flag=True, help="Fetch non-distributable layers, too.")
@click.option(
    "--volume-size",
    metavar="SIZE",
    help="Write volumes of at most so many bytes: 4GiB, 700MB, fat32, cd, dvd, dvd-dl, bd, bd-dl.",
)
@click.option(
    "--parity",
    metavar="N%|Nvolume",
    help="Write PAR2 files beside the bundle that rebuild so much: 10%, 1volume, 2volumes.",
)
@click.option(
    "--parity-memory",
    metavar="SIZE",
    help="About how much memory making parity may take (default 512 MiB).",
)
@click.option("--checksums", is_flag=True, help="Write a file for sha256sum -c beside the bundle.")
@encrypt_options
@click.option(
    "--spread",
    is_flag=True,
    help="Write as many volumes as the medium has room for, and ask for the next medium.",
)
@click.option(
    "--scratch",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="With --spread, make --parity over all volumes here first: room for all of it is needed.",
)
@media_options
@jobs_option
@click.option("--dry-run", is_flag=True, help="Print the plan and fetch no layers.")
@click.option("--overwrite", is_flag=True, help="Replace a bundle that is there.")
@keep_going_option
@custody_option
@network_options
@output_options
@click.pass_obj
def export_images(invocation: Invocation, **flags: Unpack[ExportFlags]) -> None:
    """Put images and every other OCI artifact into one bundle, in one file or in volumes.

    REFERENCE is what docker takes: nginx, nginx:1.27, ghcr.io/org/app:tag, name@sha256:…
    With --from it is looked up there, and without any REFERENCE all images travel.

    An interrupted export goes on where it was when the same command is run again.
    With --spread that holds from medium to medium, too: what travels is decided at the first one.
    """
    is_pipe = str(flags["output"]) == "-"
    session = Session(invocation, flags, command=COMMAND, is_bundle_on_stdout=is_pipe)
    wanted = _wanted(flags)
    options = replace(
        _options(flags, session.settings.jobs, wanted),
        sign=signers(flags, session),
        revocations=read_revocations(flags["revocations"]),
    )
    _check_media_options(flags, is_pipe=is_pipe)
    is_dry = flags["dry_run"]
    target = flags["output"] if is_dry or not is_pipe else _standard_output()
    with (
        session.run() as run,
        custody(session, run, "export", is_dry=is_dry) as entry,
        _source(session, flags, run) as client,
    ):
        entry.tell(paths=file_names([flags["output"]]))
        references = _references(flags, wanted, client)
        references, options = receiver_options(
            flags,
            references,
            options,
            client=client,
            locks=wanted.locks,
            check=_record_check(session, flags, run),
            run=run,
        )
        if is_dry:
            output = None if is_pipe else flags["output"]
            plan = plan_export(references, output, client=client, options=options, run=run)
            session.show_result(plan, lambda: plan_lines(plan))
            failed = plan.failed
        elif flags["spread"]:
            spreading = _spreading(session, flags, run)
            done = _spread(
                references, flags, client=client, spreading=spreading, options=options, run=run
            )
            entry.spread(done)
            session.show_result(done, lambda: spread_lines(done))
            failed = done.failed
        else:
            result = run_export(references, target, client=client, options=options, run=run)
            entry.exported(result)
            session.show_result(result, lambda: export_lines(result))
            failed = result.failed
        if failed:
            raise partial_error(failed, "exported")


def _wanted(flags: ExportFlags) -> Wanted:
    has_source = bool(flags["sources"])
    if flags["only"] and not has_source:
        raise SettingsError(
            "--only chooses among the images of --from",
            hint="name the images, or a bundle with --from",
        )
    check_against(flags, is_asked=bool(flags["references"] or flags["file"] or flags["only"]))
    is_required = not (has_source or flags["exactly"]) or bool(flags["file"])
    return read_wanted(flags["references"], flags["file"], required=is_required)


def _references(
    flags: ExportFlags, wanted: Wanted, client: Client | Holdings
) -> tuple[Reference, ...]:
    """What is asked for: of a bundle or layout all, where nothing is named."""
    references = wanted.references
    if not isinstance(client, Client) and (flags["only"] or not references):
        chosen = client.references(flags["only"])
        references = tuple(dict.fromkeys((*references, *chosen)))
    return references


@contextmanager
def _source(session: Session, flags: ExportFlags, run: Run) -> Iterator[Client | Holdings]:
    """What the images come from: bundles and layouts where any are given, else registries."""
    if not flags["sources"]:
        with session.client(run) as client:
            yield client
        return
    from airgap.transfer.bundle_source import Holdings
    from airgap.transfer.trusting import check_bundle_trust

    with Holdings(flags["sources"]) as holdings:
        trust = trust_of(session, identities_of(flags))
        detached = signatures_of(flags["signature"], trust, flags["sources"], run=run)
        for catalog in holdings.catalogs:
            check_bundle_trust(catalog, trust, detached, run=run)
        yield holdings


def _record_check(session: Session, flags: ExportFlags, run: Run) -> Check | None:
    """What refuses a record that is not signed by whom is trusted; None where nobody must be."""
    trust = trust_of(session, identities_of(flags))
    if trust is None:
        return None
    from airgap.transfer.record_trust import record_signers

    return partial(record_signers, trust=trust, run=run)


def _options(flags: ExportFlags, jobs: int, wanted: Wanted) -> ExportOptions:
    load, volume_size = flags["load_platform"], flags["volume_size"]
    return ExportOptions(
        platforms=tuple(map(Platform.parse, flags["platform"])) or wanted.platforms,
        referrers=flags["referrers"],
        require_signature=required_keys(flags["require_signature"]),
        allow_missing_at_source=flags["allow_missing_at_source"],
        non_distributable=flags["non_distributable"],
        load_platform=Platform.parse(load) if load else None,
        jobs=jobs,
        overwrite=flags["overwrite"],
        keep_going=flags["keep_going"],
        volume_size=parse_volume_size(volume_size) if volume_size is not None else None,
        protect=_protect(flags),
        lock=flags["lock"],
        encrypt=encryption(
            flags["encrypt_to"],
            passphrase=flags["passphrase"],
            passphrase_file=flags["passphrase_file"],
        ),
    )


def _check_media_options(flags: ExportFlags, *, is_pipe: bool) -> None:
    if flags["scratch"] is not None and not (flags["spread"] and flags["parity"]):
        raise SettingsError(
            "--scratch is where parity over the volumes of several media is made",
            hint="add --spread and --parity, such as --parity 2volumes; or leave out --scratch",
        )
    if flags["spread"]:
        check_next_command(flags["next_command"])
        if is_pipe:
            raise SettingsError(
                "a pipe is no medium that can be changed", hint="leave out --spread, or name a file"
            )
    elif flags["next_command"] is not None or flags["state"] is not None:
        raise SettingsError(
            "--next-command and --state are about changing media", hint="add --spread"
        )


def _spread(
    references: tuple[Reference, ...],
    flags: ExportFlags,
    *,
    client: Client | Holdings,
    spreading: Spreading,
    options: ExportOptions,
    run: Run,
) -> SpreadResult:
    from airgap.transfer.scratch import spread_from_scratch
    from airgap.transfer.spread import spread_images

    scratch = flags["scratch"]
    spread = partial(spread_from_scratch, scratch=scratch) if scratch else spread_images
    return spread(
        references, flags["output"], client=client, spreading=spreading, options=options, run=run
    )


def _spreading(session: Session, flags: ExportFlags, run: Run) -> Spreading:
    from airgap.transfer.spread import Spreading

    state, command = flags["state"], flags["next_command"]
    return Spreading(*between_media(session, run, state, command, action="write"))


def _protect(flags: ExportFlags) -> ProtectOptions:
    parity, memory = flags["parity"], flags["parity_memory"]
    return ProtectOptions(
        parity=ParityRequest.parse(parity) if parity is not None else None,
        parity_memory=as_size(memory, "--parity-memory") if memory else DEFAULT_MEMORY,
        checksums=flags["checksums"],
    )


def _standard_output() -> BinaryIO:
    if sys.stdout.isatty():
        raise SettingsError(
            "a bundle is not written to a terminal",
            hint="-o FILE, or pipe it: airgap export images … -o - | …",
        )
    return sys.stdout.buffer
