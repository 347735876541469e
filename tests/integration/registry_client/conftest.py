"""What tests of the registry client start from: a server that does as told, and a client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airgap.registry.repository import Repository
from tests.support.registry_client import Lab, open_lab
from tests.support.scripted_server import ScriptedServer


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A server that answers as the test says."""
    with ScriptedServer() as found:
        yield found


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A client that waits for nobody."""
    with open_lab() as found:
        yield found


@pytest.fixture
def repository(server: ScriptedServer, lab: Lab) -> Repository:
    """The client's view of a repository of the server, as a source."""
    return lab.client.repository(server.host, "team/app", origin="source")
