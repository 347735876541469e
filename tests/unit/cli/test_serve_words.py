"""What `airgap serve` says and reads: sizes, logs, and how clients come to trust it."""

from __future__ import annotations

import logging
import tomllib
from pathlib import Path

import pytest

from airgap.cli.logs import logs_as_notices
from airgap.cli.trust import plain_lines, trust_lines
from airgap.cli.values import as_size
from airgap.errors import SettingsError
from airgap.run import Run
from airgap.run.events import Event, Notice


class Recorder:
    """Keeps what is reported."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event, /) -> None:
        self.events.append(event)


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("512", 512), ("4k", 4000), ("4 kB", 4000), ("20G", 20 * 10**9), ("1T", 10**12)],
)
def test_sizes_are_read(text: str, size: int) -> None:
    """A size is a number of bytes, or of thousands of them."""
    assert as_size(text, "--x") == size


@pytest.mark.parametrize("text", ["", "k", "-1", "1.5M", "4KiB", "\u0661", "1e3", "9" * 16])
def test_what_is_no_size_is_refused(text: str) -> None:
    """Anything else is refused by the name of its option."""
    with pytest.raises(SettingsError, match="--x must be a size"):
        as_size(text, "--x")


def test_logs_become_notices() -> None:
    """Records of airgap and its web framework are reported, and are not while nobody serves."""
    recorder = Recorder()
    log = logging.getLogger("airgap.server.thing")
    with logs_as_notices(Run(recorder)):
        log.warning("w %d", 1)
        log.info("i")
        log.debug("d")
        logging.getLogger("aiohttp.server").error("e")
        logging.getLogger("aiohttp.server").info("nothing")
    log.warning("later")
    assert recorder.events == [
        Notice("warning", "thing", "w 1"),
        Notice("info", "thing", "i"),
        Notice("debug", "thing", "d"),
        Notice("warning", "server", "e"),
    ]


def test_an_exception_is_told_in_short() -> None:
    """The notice names the exception; where it came from is for those who want all."""
    recorder = Recorder()
    with logs_as_notices(Run(recorder)):
        try:
            raise ValueError("why")
        except ValueError:
            logging.getLogger("airgap.server.thing").exception("it failed")
    first, *rest = recorder.events
    assert first == Notice("warning", "thing", "it failed: ValueError: why")
    assert {event.level for event in rest if isinstance(event, Notice)} == {"debug"}
    assert len(rest) > 2


def test_the_words_for_containerd_are_a_file_that_it_reads() -> None:
    """The lines of hosts.toml are TOML that names the registry and its certificate."""
    lines = list(trust_lines("registry.internal:5000", Path("/d/tls/ca.crt"), "AB:CD"))
    start = next(n for n, line in enumerate(lines) if line.endswith("hosts.toml:")) + 1
    value = tomllib.loads("\n".join(line.strip() for line in lines[start : start + 3]))
    entry = value["host"]["https://registry.internal:5000"]
    assert value["server"] == "https://registry.internal:5000"
    assert entry["ca"] == "/etc/containerd/certs.d/registry.internal:5000/ca.crt"


def test_those_without_tls_are_told_what_that_means() -> None:
    """The first line says what anybody on the network can do, the rest names the registry."""
    first, *rest = plain_lines("registry.internal:5000")
    assert "no TLS" in first
    assert all("registry.internal:5000" in line for line in rest)
