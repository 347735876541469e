"""Errors carry their codes, their hint and their data."""

from __future__ import annotations

import pytest

from airgap import errors
from airgap.errors import AirgapError, ExitCode


def every_class() -> list[type[AirgapError]]:
    """All error classes of the module."""
    found = [item for item in vars(errors).values() if isinstance(item, type)]
    return [item for item in found if issubclass(item, AirgapError)]


@pytest.mark.parametrize("kind", every_class(), ids=lambda kind: kind.__name__)
def test_every_error_is_made_of_a_message_alone(kind: type[AirgapError]):
    """A message is enough; hint and data are optional, and the text is the message."""
    error = kind("it broke")
    assert (str(error), error.message, error.hint) == ("it broke", "it broke", None)
    assert error.code
    assert error.exit_code in ExitCode


@pytest.mark.parametrize("kind", every_class(), ids=lambda kind: kind.__name__)
def test_every_error_takes_a_hint(kind: type[AirgapError]):
    """The hint stands apart from the message."""
    error = kind("it broke", hint="mend it")
    assert (str(error), error.hint) == ("it broke", "mend it")


@pytest.mark.parametrize(
    ("error", "attribute", "value"),
    [
        (errors.AirgapError("x", origin="source"), "origin", "source"),
        (errors.PartialError("x", failed=iter(["a", "b"])), "failed", ("a", "b")),
        (errors.UnavailableError("x", retry_after=2.5), "retry_after", 2.5),
        (errors.UnavailableError("x", origin="destination"), "origin", "destination"),
        (errors.RegistryProtocolError("x", status=500), "status", 500),
        (errors.RegistryProtocolError("x", wire_codes=["DENIED"]), "wire_codes", ("DENIED",)),
        (errors.IntegrityError("x", expected="a", actual="b"), "expected", "a"),
        (errors.DigestMismatchError("x", expected="a", actual="b"), "actual", "b"),
        (errors.IncompleteBundleError("x", missing=iter(["m"])), "missing", ("m",)),
        (errors.IncompleteBundleError("x"), "origin", "bundle"),
    ],
)
def test_data_is_on_attributes(error: AirgapError, attribute: str, value: object):
    """Nobody has to read a message to learn what happened."""
    assert getattr(error, attribute) == value


@pytest.mark.parametrize(
    ("kind", "exit_code"),
    [
        (errors.SettingsError, 2),
        (errors.InvalidReferenceError, 2),
        (errors.PartialError, 3),
        (errors.ContentNotFoundError, 10),
        (errors.UnauthorizedError, 11),
        (errors.UnavailableError, 12),
        (errors.TrustError, 12),
        (errors.RegistryProtocolError, 13),
        (errors.InvalidContentError, 13),
        (errors.DigestMismatchError, 20),
        (errors.SizeMismatchError, 20),
        (errors.SignatureError, 21),
        (errors.BundleFormatError, 22),
        (errors.IncompleteBundleError, 23),
        (errors.StorageError, 30),
        (errors.StorageFullError, 30),
        (errors.LockedError, 31),
        (errors.ConflictError, 40),
        (errors.CancelledError, 130),
    ],
)
def test_exit_codes_never_change(kind: type[AirgapError], exit_code: int):
    """Scripts rely on these numbers: they are never renumbered."""
    assert kind.exit_code == exit_code
