"""`airgap verify bundle`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import click

from airgap.bundle.check import check_bundle
from airgap.bundle.finding import CheckReport, Finding
from airgap.bundle.reader import UNFINISHED, open_bundle
from airgap.cli.invocation import Invocation
from airgap.cli.options import FILE, OutputFlags, expect_option, jobs_option, output_options
from airgap.cli.session import Session
from airgap.cli.values import as_digest, as_seekable
from airgap.cli.visible import count_text, cut, speed_text
from airgap.errors import (
    AirgapError,
    BundleFormatError,
    ExitCode,
    IncompleteBundleError,
    IntegrityError,
    SignatureError,
    StorageError,
)
from airgap.oci.digest import Digest

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


class VerifyFlags(OutputFlags):
    """The options of the command."""

    bundle: Path
    expect: str | None
    jobs: str | None


@click.command("bundle")
@click.argument("bundle", type=FILE)
@expect_option
@jobs_option
@output_options
@click.pass_obj
def verify_bundle(invocation: Invocation, **flags: Unpack[VerifyFlags]) -> None:
    """Hash everything in BUNDLE and check that it holds all that its images need.

    Everything that is wrong is listed. The exit code tells the worst: 22 the structure, 20 other
    bytes than promised, 23 something is missing.
    """
    session = Session(invocation, flags, command=COMMAND)
    expect = flags["expect"]
    expected = as_digest(expect, "--expect") if expect else None
    path = as_seekable(flags["bundle"])
    started = time.monotonic()
    with session.run() as run:
        if expected is not None:
            _refuse_another(path, expected)
        report = check_bundle(path, run=run, jobs=session.settings.jobs)
        result = _result(report, time.monotonic() - started)
        session.show_result(result, lambda: _lines(result))
        if report.findings:
            raise _problems(report)


def _result(report: CheckReport, seconds: float) -> VerifyResult:
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
    )


def _problems(report: CheckReport) -> AirgapError:
    count = count_text(len(report.findings), "problem")
    if report.is_unfinished:
        return _ERRORS[report.exit_code](
            f"{report.name} was never finished: {count} found", hint=UNFINISHED
        )
    return _ERRORS[report.exit_code](
        f"{report.name}: {count} found",
        hint="copy the bundle again from where it was made, or export it again",
    )


def _refuse_another(path: Path, expected: Digest) -> None:
    """Compare the id before everything is hashed; what is damaged is left to the check."""
    try:
        with open_bundle(path) as reader:
            found = reader.catalog
    except AirgapError:
        return
    found.expect(expected)


def _lines(result: VerifyResult) -> Iterator[str]:
    for finding in result.findings:
        yield from _finding_lines(finding)
    images, blobs = count_text(result.images, "image"), count_text(result.blobs, "blob")
    manifests = count_text(result.manifests, "manifest")
    state = count_text(len(result.findings), "problem") if result.findings else "whole"
    yield f"{result.path}: {state}; {images}, {manifests}, {blobs}"
    yield f"checked {speed_text(result.bytes_checked, result.seconds)}"
    if result.bundle_id is not None:
        yield f"bundle id: {result.bundle_id}"


def _finding_lines(finding: Finding) -> Iterator[str]:
    where = "" if finding.offset is None else f" (at byte {finding.offset:,})"
    yield f"{finding.kind}: {finding.message}{where}"
    if finding.hint:
        yield f"  hint: {finding.hint}"
    yield from cut((f"  needed by {name}" for name in finding.images), rest="--json lists them")
