"""Lines of JSON, compared with docs/json-output.md."""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from airgap.cli.access import AccessResult, CheckResult
from airgap.cli.backup import BackupResult, RestoreResult
from airgap.cli.compare import CompareResult
from airgap.cli.custody_log import LogCheckResult, LogExportResult, ShowResult
from airgap.cli.delete_image import DeleteResult
from airgap.cli.gc import GcResult
from airgap.cli.inspect_bundle import InspectResult
from airgap.cli.jsonlines import JsonSink, encode, error_line, event_line, type_name
from airgap.cli.key import GenerateResult, RevokeResult, ShowKeyResult
from airgap.cli.lock import LockChecked, LockWritten
from airgap.cli.login import LoginResult, LogoutResult
from airgap.cli.output import Output
from airgap.cli.serve import ServeResult, TrustResult
from airgap.cli.sign_bundle import SignResult
from airgap.cli.user import UserListResult, UserResult
from airgap.cli.verify_bundle import VerifyResult
from airgap.cli.verify_receipt import VerifiedReceipt
from airgap.errors import AirgapError, DigestMismatchError, ExitCode, PartialError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.platform import Platform
from airgap.oci.reference import Reference
from airgap.run import events
from airgap.transfer.outcome import ExportPlan, ExportResult, ImportResult
from airgap.transfer.spread_outcome import SpreadResult

DOCUMENT = (Path(__file__).parents[3] / "docs/json-output.md").read_text()
LEAVES = (Digest, Descriptor, Platform, Reference, AirgapError)
RESULTS = {
    "export images": ExportResult,
    "export images --dry-run": ExportPlan,
    "export images --spread": SpreadResult,
    "lock": LockWritten,
    "lock --check": LockChecked,
    "import bundle": ImportResult,
    "inspect bundle": InspectResult,
    "verify bundle": VerifyResult,
    "verify receipt": VerifiedReceipt,
    "login": LoginResult,
    "logout": LogoutResult,
    "key generate": GenerateResult,
    "key show": ShowKeyResult,
    "key revoke": RevokeResult,
    "sign bundle": SignResult,
    "user add": UserResult,
    "user list": UserListResult,
    "access show": AccessResult,
    "access check": CheckResult,
    "serve": ServeResult,
    "serve --print-trust": TrustResult,
    "gc": GcResult,
    "delete image": DeleteResult,
    "backup": BackupResult,
    "restore": RestoreResult,
    "compare": CompareResult,
    "log show": ShowResult,
    "log verify": LogCheckResult,
    "log export": LogExportResult,
}
BLOB = Descriptor("a/b", Digest("sha256", "0" * 64), 10, Platform("linux", "arm64", "v8"))


def documented(heading: str) -> set[str]:
    """The fields that stand in the table under a heading."""
    section = re.search(rf"^### {re.escape(heading)}\n(.*?)(?=^##|\Z)", DOCUMENT, re.M | re.S)
    assert section, f"docs/json-output.md has no section {heading!r}"
    return set(re.findall(r"^\| `([^`]+)` \|", section[1], re.M))


def paths(kind: object, prefix: str = "") -> Iterator[str]:
    """The paths of all fields that a value of a type has in JSON."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, type) and is_dataclass(kind) and not issubclass(kind, LEAVES):
        hints = typing.get_type_hints(kind)
        for field in fields(kind):
            if field.repr and hints[field.name] is ExportPlan:
                yield f"{prefix}{field.name}"
            elif field.repr:
                yield from paths(hints[field.name], f"{prefix}{field.name}.")
    elif origin is tuple:
        yield from paths(arguments[0], f"{prefix.removesuffix('.')}[].")
    elif origin in (Mapping, dict):
        yield f"{prefix}*"
    elif origin in (typing.Union, type(int | None)) and type(None) in arguments:
        [inner] = [argument for argument in arguments if argument is not type(None)]
        yield from paths(inner, prefix)
    else:
        yield prefix.removesuffix(".")


@pytest.mark.parametrize("event", typing.get_args(events.Event))
def test_every_event_is_documented(event: type) -> None:
    """The document lists each event under its type, with the fields it has."""
    assert documented(type_name(event)) == {field.name for field in fields(event)}


@pytest.mark.parametrize("command", RESULTS)
def test_every_result_is_documented(command: str) -> None:
    """The document lists each field of each command's result, and no other."""
    assert documented(f"result of {command}") == set(paths(RESULTS[command]))


def test_the_error_is_documented() -> None:
    """The document lists what each error has, and every further field that some have."""
    line = json.loads(error_line(AirgapError("m")))
    assert documented("error") == set(line) - {"type"}
    further = {"origin"}
    waiting = [AirgapError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        further |= set(typing.get_type_hints(kind.__init__)) - {"return", "message", "hint"}
    section = DOCUMENT.partition("Some errors have more:")[2].partition("They are left out")[0]
    assert further <= set(re.findall(r"`(\w+)`", section))


def test_an_event_is_an_object_with_its_type_first() -> None:
    """The type is the class's name; descriptors stand as in OCI documents."""
    line = event_line(events.BlobStarted(BLOB, "here", 5))
    assert line.startswith('{"type":"blob-started",')
    assert json.loads(line)["descriptor"] == {
        "mediaType": "a/b",
        "digest": "sha256:" + "0" * 64,
        "size": 10,
        "platform": {"architecture": "arm64", "os": "linux", "variant": "v8"},
    }


def test_an_error_has_its_data_and_leaves_out_what_is_empty() -> None:
    """Data of an error stands beside code, exit code, message and hint."""
    error = DigestMismatchError("m", expected="a", actual="b", origin="source")
    assert json.loads(error_line(error)) == {
        "type": "error", "code": "digest-mismatch", "exit": 20, "message": "m", "hint": None,
        "expected": "a", "actual": "b", "origin": "source",
    }  # fmt: skip
    partial = json.loads(error_line(PartialError("m", failed=["x: y"], hint="h")))
    assert (partial["failed"], partial["hint"]) == (["x: y"], "h")


def test_lines_are_ascii_without_control_characters() -> None:
    """Nothing that a terminal would obey stands in a line, whatever a server sent."""
    line = event_line(events.Notice("info", "c", "a\x1b[2J\x7f\u202e\n\x9b\udc80"))
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["message"] == "a\x1b[2J\x7f\u202e\n\x9b\udc80"


def test_values_become_what_json_knows() -> None:
    """References, paths, enumerations, mappings and sets have a form; anything else is a bug."""

    @dataclass(frozen=True)
    class Value:
        things: frozenset[str]
        counts: dict[Digest, int]
        code: ExitCode

    found = encode(Value(frozenset({"b", "a"}), {BLOB.digest: 1}, ExitCode.LOCKED))
    assert found == {"things": ["a", "b"], "counts": {str(BLOB.digest): 1}, "code": 31}
    assert encode([Reference.parse("a"), Path("b")]) == ["docker.io/library/a:latest", "b"]
    with pytest.raises(TypeError):
        encode(object())


def test_advances_are_written_once_in_a_second() -> None:
    """Advances that follow closely are left out, and each blob counts for itself."""

    class Lines(Output):
        def __init__(self) -> None:
            self.lines: list[dict] = []

        def write(self, line: str) -> None:
            self.lines.append(json.loads(line))

    output, start = Lines(), datetime(2026, 1, 2, tzinfo=UTC)
    sink = JsonSink(output, has_times=True)
    other = Descriptor("a/b", Digest("sha256", "1" * 64), 10)
    for milliseconds, descriptor in (
        (0, BLOB),
        (400, BLOB),
        (500, other),
        (900, BLOB),
        (1000, BLOB),
    ):
        event = events.BlobAdvanced(descriptor, "p", milliseconds)
        sink.take(event, start + timedelta(milliseconds=milliseconds))
    assert [line["offset"] for line in output.lines] == [0, 500, 1000]
    assert output.lines[1]["time"] == "2026-01-02T00:00:00.500+00:00"
