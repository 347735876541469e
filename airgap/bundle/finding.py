"""What a check finds: values, never exceptions. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from airgap.bundle.catalog import Catalog
from airgap.errors import AirgapError, ExitCode
from airgap.oci.digest import Digest

FindingKind = Literal[
    "structure", "unexplained", "digest-mismatch", "size-mismatch", "missing", "cut-short",
    "unreadable", "unfinished", "missing-volume", "other-bundle", "parity", "signature",
]  # fmt: skip
"""What is wrong.

`structure`: a header, a document or the seal is not as airgap writes it. `unexplained`: content
that nothing asks for. `digest-mismatch`, `size-mismatch`: content is not what was promised.
`missing`: content that an image needs is not there. `cut-short`: the file ends too early.
`unreadable`: the medium gave an error. `unfinished`: an export left the file before its end, which
explains most of the rest. `missing-volume`: a volume is not among the files. `other-bundle`: a file
belongs to another bundle than the rest, or to one that was shared out to volumes in another way.
`parity`: what lies beside the volumes to repair them is damaged itself. `signature`: the signatures
are not those that whoever checks trusts, or not those of the other volumes.
"""

EXITS: dict[FindingKind, ExitCode] = {
    "structure": ExitCode.BUNDLE_FORMAT,
    "unexplained": ExitCode.BUNDLE_FORMAT,
    "digest-mismatch": ExitCode.INTEGRITY,
    "size-mismatch": ExitCode.INTEGRITY,
    "missing": ExitCode.INCOMPLETE,
    "cut-short": ExitCode.INCOMPLETE,
    "unreadable": ExitCode.STORAGE,
    "unfinished": ExitCode.INCOMPLETE,
    "missing-volume": ExitCode.INCOMPLETE,
    "other-bundle": ExitCode.BUNDLE_FORMAT,
    "parity": ExitCode.INTEGRITY,
    "signature": ExitCode.SIGNATURE,
}
_RANK = (
    ExitCode.BUNDLE_FORMAT,
    ExitCode.SIGNATURE,
    ExitCode.INTEGRITY,
    ExitCode.INCOMPLETE,
    ExitCode.STORAGE,
)
_KINDS: dict[ExitCode, FindingKind] = {
    ExitCode.SIGNATURE: "signature",
    ExitCode.INTEGRITY: "digest-mismatch",
    ExitCode.INCOMPLETE: "missing",
    ExitCode.STORAGE: "unreadable",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a bundle.

    Attributes:
        kind: What sort of thing.
        message: One line.
        hint: What to do, where there is something beyond copying it again.
        digest: The content that is concerned, if it is content.
        offset: Where in the file, if that is known.
        length: Over how many bytes.
        images: The names of the images that need the content, themselves or by a referrer.
        path: The file; None where it is one that is not there.
        volume: Which of several volumes that is, if that is known.
    """

    kind: FindingKind
    message: str
    hint: str | None = None
    digest: Digest | None = None
    offset: int | None = None
    length: int | None = None
    images: tuple[str, ...] = ()
    path: str | None = None
    volume: int | None = None

    @classmethod
    def of(cls, error: AirgapError, *, kind: FindingKind | None = None) -> Finding:
        """What an error says, as a finding."""
        if kind is None:
            kind = "size-mismatch" if error.code == "size-mismatch" else None
        return cls(kind or _KINDS.get(error.exit_code, "structure"), error.message, error.hint)


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """What was checked of one file.

    Attributes:
        path: Where it is.
        volume: Which volume of the bundle it is; None where that is not known.
        size: Its bytes.
        bytes_checked: How many of them were read and compared or hashed.
        problems: How many findings concern it.
    """

    path: str
    volume: int | None
    size: int
    bytes_checked: int
    problems: int


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check of a whole bundle found.

    Attributes:
        name: The file, the folder, or the first of several.
        bundle_id: The bundle id; None where no catalog could be read.
        catalog: What the bundle carries; None likewise.
        size: The bytes of all files.
        bytes_checked: How many of them were read and compared or hashed.
        manifests: How many manifests and indexes were right.
        blobs: How many configs and layers were right.
        findings: Everything that is wrong: the volumes that are missing, what is unfinished, and
            then the rest in the order of volumes and files.
        files: What was checked of each file, in the order of volumes.
        volumes: How many volumes the bundle has; None where that is not known.
        missing_volumes: Those that are not here.
        notes: What is worth knowing and not wrong.
    """

    name: str
    bundle_id: Digest | None
    catalog: Catalog | None
    size: int
    bytes_checked: int
    manifests: int
    blobs: int
    findings: tuple[Finding, ...]
    files: tuple[CheckedFile, ...] = ()
    volumes: int | None = None
    missing_volumes: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def images(self) -> int:
        """How many images the bundle names."""
        return len(self.catalog.images) if self.catalog else 0

    @property
    def is_unfinished(self) -> bool:
        """Whether an export left the file before its end."""
        return any(finding.kind == "unfinished" for finding in self.findings)

    @property
    def exit_code(self) -> ExitCode:
        """0 where nothing is wrong, else the first of 22, 21, 20, 23 and 30 that was found."""
        found = {EXITS[finding.kind] for finding in self.findings}
        return next((code for code in _RANK if code in found), ExitCode.OK)
