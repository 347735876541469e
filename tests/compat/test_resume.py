"""What breaks between airgap and a CNCF registry is continued."""

from __future__ import annotations

import filecmp
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from airgap.bundle.journal import read_journal
from airgap.bundle.partial import JOURNAL_SUFFIX
from airgap.errors import ExitCode
from tests.compat.registries import CncfRegistry
from tests.compat.software import Program
from tests.compat.wire import Incident, Wire
from tests.support import builders
from tests.support.builders import Content

pytestmark = pytest.mark.compat

MIB = 1 << 20
SIZE = 48 * MIB


@pytest.fixture(scope="module")
def big() -> Content:
    """An image with one large layer and a small one."""
    return builders.image(layers=(SIZE, 1000), seed=11)


@pytest.fixture(scope="module")
def big_source(source: CncfRegistry, big: Content) -> CncfRegistry:
    """A registry that has it."""
    source.push("team/big", big, tags=("1",))
    return source


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, big_source: CncfRegistry, airgap: Program
) -> Path:
    """The bundle of an export that nothing disturbed."""
    path = tmp_path_factory.mktemp("undisturbed") / "big.tar"
    airgap.run("export", "images", f"{big_source.host}/team/big:1", "-o", path)
    return path


def answers(registry: CncfRegistry, content: Content, status: int) -> int:
    """How often the registry answered a request for the large layer in this way."""
    digest = str(
        max(content.all_blobs().values(), key=lambda b: b.descriptor.size).descriptor.digest
    )
    asked = f'"GET /v2/team/big/blobs/{digest} HTTP/1.1" {status} '
    return sum(asked in line for line in registry.requests())


def wait_for(is_true: Callable[[], bool], *, seconds: float = 20) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.02)


def durable_bytes(bundle: Path) -> int:
    """How much of unfinished blobs the journal of an export calls durable."""
    found = read_journal(bundle.with_name(bundle.name + JOURNAL_SUFFIX))
    return sum(extent.length for extent in found[0].begun.values()) if found else 0


def cut() -> bool:
    """Cut the connection."""
    return True


class TestExport:
    def test_a_cut_download_goes_on_with_a_range(
        self, tmp_path: Path, big_source: CncfRegistry, big: Content, airgap: Program
    ) -> None:
        """Within one run, the rest of a large layer is asked for, twice, and nothing more."""
        before = answers(big_source, big, 206)
        down = [Incident(SIZE // 3, cut), Incident(SIZE * 2 // 3, cut)]
        path = tmp_path / "big.tar"
        with Wire(big_source.host, down=down) as wire:
            airgap.run("export", "images", f"{wire.host}/team/big:1", "-o", path)
            assert wire.sent_down < SIZE + 8 * MIB
        assert answers(big_source, big, 206) == before + 2
        airgap.run("verify", "bundle", path)

    def test_a_killed_export_goes_on_with_a_range(
        self,
        tmp_path: Path,
        big_source: CncfRegistry,
        big: Content,
        airgap: Program,
    ) -> None:
        """After `kill -9` what was durable is not fetched again; the bundle is the same."""
        path, is_held, goes_on = tmp_path / "big.tar", threading.Event(), threading.Event()

        def pause() -> bool:
            time.sleep(1.2)  # after a second, what is there is synced with the next bytes
            return False

        def hold() -> bool:
            is_held.set()
            goes_on.wait(30)
            return True

        before = answers(big_source, big, 206)
        down = [Incident(SIZE // 3, pause), Incident(SIZE // 2, hold)]
        with Wire(big_source.host, down=down) as wire:
            command = ("export", "images", f"{wire.host}/team/big:1", "-o", path)
            first = subprocess.Popen(
                [*airgap.command, *map(str, command)],
                env=airgap.full_environment,
                cwd=tmp_path,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                assert is_held.wait(30)
                wait_for(lambda: durable_bytes(path) > 0)
            finally:
                first.kill()
                first.wait()
                goes_on.set()
            assert not path.exists()
            fetched = wire.sent_down
            airgap.run(*command)
            assert wire.sent_down - fetched < SIZE * 3 // 4
            assert answers(big_source, big, 206) == before + 1
            assert [found.name for found in tmp_path.iterdir()] == [path.name]
            other = tmp_path / "undisturbed.tar"
            airgap.run(*command[:-1], other)
        assert filecmp.cmp(path, other, shallow=False)


class TestImport:
    """A CNCF registry does not go on in the middle of a request: it answers 416 (v3.1)."""

    def test_an_upload_survives_the_restart_of_the_registry(
        self, inside: CncfRegistry, undisturbed: Path, airgap: Program, big: Content
    ) -> None:
        """A registry that is killed in the middle of a layer and comes back gets all of it."""

        def restart() -> bool:
            inside.kill()
            inside.start()
            return True

        with Wire(inside.host, up=[Incident(SIZE // 2, restart)]) as wire:
            airgap.run("import", "bundle", undisturbed, "--to", wire.host)
            assert wire.sent_up > SIZE
        assert inside.get("team/big/manifests/1")[0] == big.raw
        for digest, blob in big.all_blobs().items():
            assert inside.get(f"team/big/blobs/{digest}")[0] == blob.data

    def test_an_import_is_repeated_when_the_registry_was_gone(
        self, inside: CncfRegistry, undisturbed: Path, airgap: Program, big: Content
    ) -> None:
        """A registry that stays away ends the run, and the next run sends what is missing."""

        def kill() -> bool:
            inside.kill()
            return True

        with Wire(inside.host, up=[Incident(SIZE // 2, kill)]) as wire:
            command = ("import", "bundle", undisturbed, "--to", wire.host, "--jobs", 1)
            failed = airgap.run(*command, "--retries", 1, code=ExitCode.UNAVAILABLE)
            assert "error[unavailable]" in failed.err
            inside.start()
            assert not inside.has("team/big/manifests/1")
            airgap.run(*command)
            again = airgap.run(*command, "--json").result
        assert (again["blobs_pushed"], again["manifests_pushed"]) == (0, 0)
        assert inside.get("team/big/manifests/1")[0] == big.raw

    def test_a_pipe_survives_the_restart_of_the_registry(
        self, inside: CncfRegistry, undisturbed: Path, airgap: Program, big: Content
    ) -> None:
        """What a pipe gave is still at hand for a registry that begins anew."""

        def restart() -> bool:
            inside.kill()
            inside.start()
            return True

        with Wire(inside.host, up=[Incident(SIZE // 2, restart)]) as wire:
            with undisturbed.open("rb") as bundle:
                airgap.run("import", "bundle", "-", "--to", wire.host, stdin=bundle)
        assert inside.get("team/big/manifests/1")[0] == big.raw
