"""The state file of an export over several media: what is written comes back, and nothing else."""

from __future__ import annotations

import json

import pytest

from airgap.errors import InvalidContentError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.transfer.plan import Fetch
from airgap.transfer.spread_state import SpreadState

BLOB = Descriptor("a/b", Digest.of(b"x"), 1)
STATE = SpreadState(
    Digest.of(b"request"),
    1 << 20,
    (Fetch(BLOB, ("registry.example/app", "registry.example/tool")),),
    ((1, 2), (3,)),
    "/media/usb",
    (("app:1", "it is not there"),),
)


def test_a_state_comes_back_as_it_was():
    """Every field of it."""
    assert SpreadState.parse(STATE.to_bytes()) == STATE
    assert STATE.with_medium([5, 4]).done == {1, 2, 3, 4, 5}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("formatVersion", 2),
        ("mediaType", "application/json"),
        ("request", "sha256:x"),
        ("volumeSize", "1"),
        ("volumeSize", 0),
        ("media", 1),
        ("media", [1]),
        ("media", [[True]]),
        ("fetches", None),
        ("fetches", [1]),
        ("fetches", [{"repositories": [1]}]),
        ("fetches", [{"repositories": ["a/b"], "descriptor": {}}]),
        ("mount", None),
        ("failed", 1),
        ("failed", [["app"]]),
        ("failed", [[1, 2]]),
    ],
)
def test_a_state_that_makes_no_sense_is_refused(field, value):
    """However it came to be, it ends as an error and not as a guess."""
    document = json.loads(STATE.to_bytes()) | {field: value}
    with pytest.raises(InvalidContentError):
        SpreadState.parse(json.dumps(document).encode())
