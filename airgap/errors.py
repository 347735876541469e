"""Every error that crosses a layer, with its stable code and the exit code it leads to.

This module holds classes and data only: it does not print, exit or translate. The class carries
the codes, so no place has to ask which kind of error it sees. Codes are never renumbered or
reused; `docs/exit-codes.md` is generated from these classes.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import ClassVar, Literal

Origin = Literal["source", "destination", "bundle", "local"]
"""Which side of a transfer failed."""


class ExitCode(IntEnum):
    """The exit codes of the command line. A code that is not listed here means failure."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    PARTIAL = 3
    NOT_FOUND = 10
    UNAUTHORIZED = 11
    UNAVAILABLE = 12
    PROTOCOL = 13
    INTEGRITY = 20
    SIGNATURE = 21
    BUNDLE_FORMAT = 22
    INCOMPLETE = 23
    STORAGE = 30
    LOCKED = 31
    CONFLICT = 40
    INTERRUPTED = 130


class AirgapError(Exception):
    """An error that a user can act on.

    Args:
        message: One line that says what happened, without credentials.
        hint: One line that says what to do about it.
        origin: Which side failed, where there are sides.
    """

    code: ClassVar[str] = "failure"
    exit_code: ClassVar[ExitCode] = ExitCode.FAILURE

    def __init__(
        self, message: str, *, hint: str | None = None, origin: Origin | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.origin = origin

    def __str__(self) -> str:
        return self.message


class SettingsError(AirgapError):
    """An option, a setting, a reference or a list file makes no sense."""

    code = "settings"
    exit_code = ExitCode.USAGE


class InvalidReferenceError(SettingsError):
    """A text is not a reference to an image."""

    code = "reference"


class PartialError(AirgapError):
    """Some references failed while others went through; the summary lists them.

    Args:
        message: One line.
        failed: One line for each reference that failed.
        hint: What to do.
    """

    code = "partial"
    exit_code = ExitCode.PARTIAL

    def __init__(
        self, message: str, *, failed: Iterable[str] = (), hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.failed = tuple(failed)


class DifferenceError(AirgapError):
    """Two places that were compared differ, and --exit-code asked for that to be told so."""

    code = "different"
    exit_code = ExitCode.PARTIAL


class ContentNotFoundError(AirgapError):
    """A repository, manifest, tag or blob is not there."""

    code = "content-not-found"
    exit_code = ExitCode.NOT_FOUND


class MissingSuccessorError(ContentNotFoundError):
    """A registry refuses a manifest because something that it points at is not there.

    Args:
        message: One line.
        hint: What to do.
        origin: Which side failed.
        wire_codes: The error codes of the body (distribution-spec, "Error Codes").
    """

    code = "missing-successor"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        origin: Origin | None = None,
        wire_codes: Iterable[str] = (),
    ) -> None:
        super().__init__(message, hint=hint, origin=origin)
        self.wire_codes = tuple(wire_codes)


class UnauthorizedError(AirgapError):
    """The registry wants other credentials, or none of ours are enough."""

    code = "unauthorized"
    exit_code = ExitCode.UNAUTHORIZED


class UnavailableError(AirgapError):
    """The other side could not be reached or kept breaking off: worth trying again later.

    Args:
        message: One line.
        hint: What to do.
        origin: Which side failed.
        retry_after: Seconds after which the other side wants to be asked again, where that is
            longer than anybody waits.
    """

    code = "unavailable"
    exit_code = ExitCode.UNAVAILABLE

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        origin: Origin | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint, origin=origin)
        self.retry_after = retry_after


class TrustError(UnavailableError):
    """The server's TLS certificate is not trusted, or TLS could not be agreed on."""

    code = "tls"


class RegistryProtocolError(AirgapError):
    """The other side answered something that the specification does not allow.

    Args:
        message: One line.
        hint: What to do.
        origin: Which side failed.
        status: The HTTP status, where there was one.
        wire_codes: The error codes of the body (distribution-spec, "Error Codes").
    """

    code = "registry-protocol"
    exit_code = ExitCode.PROTOCOL

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        origin: Origin | None = None,
        status: int | None = None,
        wire_codes: Iterable[str] = (),
    ) -> None:
        super().__init__(message, hint=hint, origin=origin)
        self.status = status
        self.wire_codes = tuple(wire_codes)


class InvalidContentError(RegistryProtocolError):
    """A manifest, index or descriptor does not have the form its media type asks for."""

    code = "content-invalid"


class IntegrityError(AirgapError):
    """Bytes are not the ones that were promised."""

    code = "integrity"
    exit_code = ExitCode.INTEGRITY

    def __init__(
        self,
        message: str,
        *,
        expected: str = "",
        actual: str = "",
        hint: str | None = None,
        origin: Origin | None = None,
    ) -> None:
        super().__init__(message, hint=hint, origin=origin)
        self.expected = expected
        self.actual = actual


class DigestMismatchError(IntegrityError):
    """Content hashes to another digest than its descriptor says."""

    code = "digest-mismatch"


class SizeMismatchError(IntegrityError):
    """Content has another size than its descriptor says."""

    code = "size-mismatch"


class SignatureError(AirgapError):
    """A signature is missing, wrong or not trusted."""

    code = "signature"
    exit_code = ExitCode.SIGNATURE


class UnsignedImagesError(SignatureError):
    """Images lack a signature that is demanded of every image.

    Args:
        message: One line.
        failed: One line for each image that lacks one.
        hint: What to do.
    """

    code = "unsigned-images"

    def __init__(
        self, message: str, *, failed: Iterable[str] = (), hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.failed = tuple(failed)


class BundleFormatError(AirgapError):
    """A file is not a bundle, is damaged in its structure, or is of a newer format."""

    code = "bundle-format"
    exit_code = ExitCode.BUNDLE_FORMAT


class IncompleteBundleError(AirgapError):
    """A bundle lacks something that it says it has.

    Args:
        message: One line.
        missing: The digests or members that are not there.
        hint: What to do.
    """

    code = "incomplete"
    exit_code = ExitCode.INCOMPLETE

    def __init__(
        self, message: str, *, missing: Iterable[str] = (), hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint, origin="bundle")
        self.missing = tuple(missing)


class MissingBaseError(IncompleteBundleError):
    """A bundle leaves content to the destination that the destination does not have.

    Args:
        message: One line.
        missing: The digests that are not there.
        failed: One line for each image that lacks something.
        hint: What to do.
    """

    code = "missing-base"

    def __init__(
        self,
        message: str,
        *,
        missing: Iterable[str] = (),
        failed: Iterable[str] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message, missing=missing, hint=hint)
        self.failed = tuple(failed)


class StorageError(AirgapError):
    """A file or folder could not be read or written."""

    code = "storage"
    exit_code = ExitCode.STORAGE


class StorageFullError(StorageError):
    """There is no room left where something is to be written."""

    code = "storage-full"


class ReadOnlyError(StorageError):
    """Something is to be changed that nobody can change, such as what lies in a bundle."""

    code = "read-only"


class LockedError(AirgapError):
    """Another run works on the same file."""

    code = "locked"
    exit_code = ExitCode.LOCKED


class ConflictError(AirgapError):
    """Something is already there, and nobody said that it may be replaced."""

    code = "conflict"
    exit_code = ExitCode.CONFLICT


class CancelledError(AirgapError):
    """The run was interrupted; everything done so far is kept."""

    code = "cancelled"
    exit_code = ExitCode.INTERRUPTED
