"""What every test gets without asking: a clean environment and no network but loopback."""

from __future__ import annotations

import ipaddress
import itertools
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "ci",
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("long", max_examples=5_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

_KEPT = "AIRGAP_COMPAT"
_DROPPED = ("AIRGAP_", "REGISTRY_AUTH_FILE", "SSL_CERT", "REQUESTS_CA", "CURL_CA", "XDG_")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "FTP_PROXY")
_LOCAL_NAMES = ("", "localhost", "ip6-localhost")


TIERS = ("unit", "property", "contract", "format", "integration", "media", "browser", "compat")
"""The folders of tests, the fast ones first; what lies beside them comes before all."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tiers in order, whatever the order of the alphabet."""
    here = Path(__file__).parent

    def rank(item: pytest.Item) -> int:
        tier = item.path.relative_to(here).parts[0] if item.path.is_relative_to(here) else ""
        return TIERS.index(tier) + 1 if tier in TIERS else 0

    items.sort(key=rank)


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Names of home folders, one for each test; cheaper than a `tmp_path` each."""
    root = tmp_path_factory.mktemp("homes")
    return (root / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def clean_environment(homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the settings, credentials and proxies of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith(_KEPT):
            continue
        if name.startswith(_DROPPED) or name.upper() in _PROXIES:
            monkeypatch.delenv(name)
    home = next(homes)
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("DOCKER_CONFIG", str(home / ".docker"))
    for name, folder in (
        ("XDG_CACHE_HOME", ".cache"),
        ("XDG_CONFIG_HOME", ".config"),
        ("XDG_DATA_HOME", ".local/share"),
        ("XDG_STATE_HOME", ".local/state"),
        ("XDG_RUNTIME_DIR", ".run"),
    ):
        monkeypatch.setenv(name, str(home / folder))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(home / "etc/xdg"))


def _is_local(host: object) -> bool:
    text = host.decode() if isinstance(host, bytes) else str(host or "")
    if text.lower() in _LOCAL_NAMES:
        return True
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse to leave the machine: names resolve as offline, other addresses fail the test."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex
    getaddrinfo = socket.getaddrinfo

    def check(sock: socket.socket, address: object) -> None:
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            return
        if not isinstance(address, tuple) or not _is_local(address[0]):
            pytest.fail(f"a test tried to reach {address}; only loopback is allowed")

    def guarded_connect(sock: socket.socket, address: object) -> None:
        check(sock, address)
        connect(sock, address)

    def guarded_connect_ex(sock: socket.socket, address: object) -> int:
        check(sock, address)
        return connect_ex(sock, address)

    def offline_getaddrinfo(host: object, *args: object, **options: object) -> object:
        numeric = host and not isinstance(host, bytes) and str(host).strip("0123456789.") == ""
        if not (_is_local(host) or numeric or ":" in str(host)):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return getaddrinfo(host, *args, **options)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
    monkeypatch.setattr(socket, "getaddrinfo", offline_getaddrinfo)
