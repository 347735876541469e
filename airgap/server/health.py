"""Whether the server lives, and whether it can do its work: for whoever restarts or avoids it."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from aiohttp import web

from airgap.content.storage import storage_errors
from airgap.errors import AirgapError, UnavailableError
from airgap.server.exchange import JSON

CHECK_SECONDS = 5.0
"""A check that takes longer has failed."""

Check = Callable[[], None]
"""Raises an `AirgapError` where something does not work; called in a thread."""

_NO_STORE = {"Cache-Control": "no-store"}
_log = logging.getLogger(__name__)


class Health:
    """Answers `/healthz` and `/readyz`.

    Args:
        checks: What the server needs, by the name under which a failure is told.
        seconds: How long a check may take.
    """

    def __init__(
        self, checks: Mapping[str, Check] | None = None, *, seconds: float = CHECK_SECONDS
    ) -> None:
        self._checks = dict(checks or {})
        self._seconds = seconds
        self._running: dict[str, asyncio.Task[str]] = {}
        self.is_stopping = False

    async def healthz(self, request: web.Request) -> web.StreamResponse:
        """Say that the server answers requests, whatever else may not work."""
        return web.Response(text="ok\n", headers=_NO_STORE)

    async def readyz(self, request: web.Request) -> web.StreamResponse:
        """Say whether requests should be sent here. What failed exactly stands in the log."""
        results = {name: await self._result(name) for name in self._checks}
        if self.is_stopping:
            results["server"] = "stopping"
        is_ready = all(result == "ok" for result in results.values())
        status = "ready" if is_ready else "not ready"
        return web.json_response(
            {"status": status, "checks": results},
            status=200 if is_ready else 503,
            headers=_NO_STORE,
            content_type=JSON,
        )

    def routes(self) -> list[web.RouteDef]:
        """Where it answers."""
        return [web.get("/healthz", self.healthz), web.get("/readyz", self.readyz)]

    async def _result(self, name: str) -> str:
        # one that hangs is not begun again for each who asks
        task = self._running.get(name)
        if task is None or task.done():
            task = self._running[name] = asyncio.create_task(self._run(name))
        try:
            return await asyncio.wait_for(asyncio.shield(task), self._seconds)
        except TimeoutError:
            _log.warning("the check of the %s takes too long", name)
            return "too slow"

    async def _run(self, name: str) -> str:
        try:
            await asyncio.to_thread(self._checks[name])
        except AirgapError as error:
            _log.warning("the %s does not work: %s", name, error)
            return "failed"
        return "ok"


def writable(folder: Path) -> Check:
    """A check that a folder takes new files."""

    def check() -> None:
        path = folder / f".ready-{secrets.token_hex(8)}"
        with storage_errors(folder):
            try:
                path.write_bytes(b"ready")
                if path.read_bytes() != b"ready":
                    raise UnavailableError(f"{folder} gives other bytes than were written")
            finally:
                path.unlink(missing_ok=True)

    return check
