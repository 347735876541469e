"""`airgap verify bundle`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Unpack

import click

from airgap.bundle.check import check_bundle
from airgap.bundle.check_encrypted import check_encrypted_bundle, is_encrypted
from airgap.bundle.finding import CheckedFile, CheckReport, Finding
from airgap.bundle.volume_file import UNFINISHED
from airgap.cli.custody import custody, file_names
from airgap.cli.invocation import Invocation
from airgap.cli.keyless_options import identities_of
from airgap.cli.options import (
    FILE,
    CustodyFlags,
    OutputFlags,
    custody_option,
    expect_option,
    jobs_option,
    output_options,
)
from airgap.cli.session import Session
from airgap.cli.signing_options import (
    SignatureFlags,
    signature_option,
    signatures_of,
    trust_of,
    trust_options,
)
from airgap.cli.values import as_digest, as_seekable
from airgap.cli.visible import count_text, cut, held_text, speed_text
from airgap.errors import (
    AirgapError,
    BundleFormatError,
    ExitCode,
    IncompleteBundleError,
    IntegrityError,
    SettingsError,
    SignatureError,
    StorageError,
)
from airgap.oci.digest import Digest
from airgap.transfer.trusting import BundleJudge
from airgap.trust.signer import Signer

COMMAND = "verify bundle"
_ERRORS: dict[ExitCode, type[AirgapError]] = {
    ExitCode.BUNDLE_FORMAT: BundleFormatError,
    ExitCode.SIGNATURE: SignatureError,
    ExitCode.INTEGRITY: IntegrityError,
    ExitCode.INCOMPLETE: IncompleteBundleError,
    ExitCode.STORAGE: StorageError,
}


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """What a check found, for JSON (docs/json-output.md)."""

    path: str
    bundle_id: Digest | None
    size: int
    images: int
    manifests: int
    blobs: int
    bytes_checked: int
    seconds: float
    findings: tuple[Finding, ...]
    files: tuple[CheckedFile, ...]
    volumes: int | None
    missing_volumes: tuple[int, ...]
    notes: tuple[str, ...]
    held_blobs: int = 0
    held_size: int = 0
    signers: tuple[Signer, ...] = ()


class VerifyFlags(OutputFlags, CustodyFlags, SignatureFlags):
    """The options of the command."""

    bundle: tuple[Path, ...]
    expect: str | None
    jobs: str | None
    read_back: bool


@click.command("bundle")
@click.argument("bundle", type=FILE, nargs=-1, required=True)
@expect_option
@trust_options
@signature_option
@click.option(
    "--read-back",
    is_flag=True,
    help="Read the medium also where its bytes are still in memory.",
)
@jobs_option
@custody_option
@output_options
@click.pass_obj
def verify_bundle(invocation: Invocation, **flags: Unpack[VerifyFlags]) -> None:
    """Hash everything in BUNDLE and check that it holds all that its images need.

    BUNDLE is a file, or the files and folders that hold the volumes of one bundle, in any order.
    Volumes that are missing are told at once. Everything that is wrong is listed. The exit code
    tells the worst: 22 the structure, 21 the signatures, 20 other bytes than promised, 23 something
    is missing.

    Of encrypted files every byte is checked for damage, with no key; what is in them is not, and
    neither are signatures.
    """
    session = Session(invocation, flags, command=COMMAND)
    expect = flags["expect"]
    expected = as_digest(expect, "--expect") if expect else None
    paths = [as_seekable(path) for path in flags["bundle"]]
    started = time.monotonic()
    with session.run() as run, custody(session, run, "verify") as entry:
        entry.tell(paths=file_names(paths))
        trust = trust_of(session, identities_of(flags))
        check: Callable[..., CheckReport] = check_encrypted_bundle
        judge = None
        if not is_encrypted(paths):
            detached = signatures_of(flags["signature"], trust, paths, run=run)
            judge = None if trust is None else BundleJudge(trust, detached, run=run)
            check = partial(check_bundle, trust=None if judge is None else judge.find_problem)
        elif _asks_for_signatures(flags):
            raise SettingsError(
                f"{paths[0]} is encrypted, and its signatures cannot be checked without its key",
                hint="`airgap import bundle --dry-run --identity KEY --trust KEY` checks them",
            )
        elif trust is not None:
            run.warn("signature", "signatures of what is encrypted are checked by its import")
        report = check(
            paths,
            run=run,
            jobs=session.settings.jobs,
            read_back=flags["read_back"],
            expect=expected,
        )
        entry.verified(report)
        result = _result(report, time.monotonic() - started, judge.signers if judge else ())
        session.show_result(result, lambda: _lines(result))
        if report.findings:
            raise _problems(report)


def _asks_for_signatures(flags: VerifyFlags) -> bool:
    """Whether options, and not just settings, demand that signatures are checked."""
    identity = flags["certificate_identity"]
    return bool(flags["trust"] or flags["signature"] or flags["require"] or identity)


def _result(report: CheckReport, seconds: float, signers: tuple[Signer, ...]) -> VerifyResult:
    return VerifyResult(
        report.name,
        report.bundle_id,
        report.size,
        report.images,
        report.manifests,
        report.blobs,
        report.bytes_checked,
        seconds,
        report.findings,
        report.files,
        report.volumes,
        report.missing_volumes,
        report.notes,
        len(report.catalog.held) if report.catalog else 0,
        report.catalog.held_size if report.catalog else 0,
        signers,
    )


def _problems(report: CheckReport) -> AirgapError:
    count = count_text(len(report.findings), "problem")
    if report.is_unfinished:
        return _ERRORS[report.exit_code](
            f"{report.name} was never finished: {count} found", hint=UNFINISHED
        )
    hint = "copy the bundle again from where it was made, or export it again"
    if all(finding.kind == "missing-volume" for finding in report.findings):
        hint = "find the media of the missing volumes; parity may make some of them again"
    elif all(finding.kind == "other-bundle" for finding in report.findings):
        hint = "the bundle is whole: take the files away that do not belong to it"
    elif all(finding.kind == "signature" for finding in report.findings):
        hint = report.findings[0].hint or hint
    return _ERRORS[report.exit_code](f"{report.name}: {count} found", hint=hint)


def _lines(result: VerifyResult) -> Iterator[str]:
    is_split = len(result.files) > 1 or (result.volumes or 1) > 1
    for finding in result.findings:
        yield from _finding_lines(finding, is_split=is_split)
    if is_split:
        strays = {found.path for found in result.findings if found.kind == "other-bundle"}
        for file in result.files:
            yield _file_line(file, result.volumes, is_stray=file.path in strays)
    state = count_text(len(result.findings), "problem") if result.findings else "whole"
    yield f"{result.path}: {state}{_content_text(result)}"
    if result.held_blobs:
        yield f"left to the receiver: {held_text(result.held_blobs, result.held_size)}"
    yield f"checked {speed_text(result.bytes_checked, result.seconds)}"
    if result.bundle_id is not None:
        yield f"bundle id: {result.bundle_id}"


def _content_text(result: VerifyResult) -> str:
    if not result.images and result.bundle_id is not None:  # it is encrypted
        return "; what is in it is not known"
    images, blobs = count_text(result.images, "image"), count_text(result.blobs, "blob")
    manifests = count_text(result.manifests, "manifest")
    return f"; {images}, {manifests}, {blobs}"


def _file_line(file: CheckedFile, volumes: int | None, *, is_stray: bool) -> str:
    which = f"volume {file.volume} of {volumes}" if file.volume else "which volume is not known"
    if is_stray:
        which = "of another bundle"
    state = count_text(file.problems, "problem") if file.problems else "whole"
    return f"{file.path}: {state}; {which}"


def _finding_lines(finding: Finding, *, is_split: bool) -> Iterator[str]:
    place = [] if finding.path is None or not is_split else [finding.path]
    if finding.offset is not None:
        length = f", {finding.length:,} bytes" if finding.length else ""
        place.append(f"at byte {finding.offset:,}{length}")
    where = f" ({': '.join(place)})" if place else ""
    yield f"{finding.kind}: {finding.message}{where}"
    if finding.hint:
        yield f"  hint: {finding.hint}"
    yield from cut((f"  needed by {name}" for name in finding.images), rest="--json lists them")
