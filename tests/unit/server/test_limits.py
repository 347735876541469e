"""Limits of a server, and who counts as one client."""

from __future__ import annotations

import pytest

from airgap.server.limits import Limits, origin_of


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("no address", "no address"),
    ],
)
def test_an_ipv4_address_is_one_client(address, origin):
    """Each IPv4 address counts for itself, however it is written."""
    assert origin_of(address) == origin


def test_a_network_of_ipv6_is_one_client():
    """All addresses of a /64 count together, and not with those of the next one."""
    one = origin_of("2001:db8:0:1::1")
    assert origin_of("2001:db8:0:1:ffff::2%eth0") == one
    assert origin_of("2001:db8:0:2::1") != one


@pytest.mark.parametrize(("files", "most"), [(1_000_000, 4096), (1024, 480), (64, 1), (0, 1)])
def test_connections_fit_into_open_files(files, most):
    """There are no more connections than there can be open files for, and at least one."""
    assert Limits().within(files) == most
