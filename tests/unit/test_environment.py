"""What `tests/conftest.py` promises to every test."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest


def test_the_home_folder_is_empty_and_for_this_test_alone():
    """Whoever runs the tests keeps their own settings and credentials to themselves."""
    assert list(Path.home().iterdir()) == []
    assert Path(os.environ["DOCKER_CONFIG"]).parent == Path.home()


def test_no_settings_or_proxies_reach_a_test():
    """No variable of airgap's and no proxy is set."""
    names = {name.upper() for name in os.environ}
    assert not names & {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
    assert [n for n in names if n.startswith("AIRGAP_") and "COMPAT" not in n] == []


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
def test_an_address_elsewhere_fails_the_test(address: str):
    """A connection that would leave the machine fails before it is tried."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for connect in ("connect", "connect_ex"):
        with socket.socket(family) as sock, pytest.raises(pytest.fail.Exception):
            getattr(sock, connect)((address, 443))


def test_names_do_not_resolve_as_on_a_machine_without_a_network():
    """A name of somewhere else is unknown, and localhost is known."""
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("registry.example.com", 443)
    assert socket.getaddrinfo("localhost", 80)


def test_loopback_can_be_reached():
    """Servers on the machine itself are what tests talk to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()):
            pass
