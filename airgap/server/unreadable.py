"""What is answered to bytes that are no request, and to a mistake of our own.

aiohttp itself would repeat what came, with whatever secret stood in it, in its answer and in the
log, would tell the versions of everything, and would leave the answer without its fence.
"""

from __future__ import annotations

import logging
from http import HTTPStatus

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from airgap.server.errors import WireError, internal
from airgap.server.exchange import error_answer

SANDBOX = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
}
"""Whatever was pushed is data: a browser that is led to it must not run it as a page of ours."""
SERVER = {"Server": "airgap"}
"""Not aiohttp's own, which tells the versions of everything."""

_log = logging.getLogger(__name__)


class Speaker(web.RequestHandler):
    """Speaks HTTP with one client."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what could not be read or handled; the connection ends with it.

        Raises:
            ConnectionError: An answer is under way already.
        """
        if isinstance(exc, ConnectionError):
            _log.info("%s went away before its request was answered", request.remote)
            error = internal(status, "the connection broke")  # which nobody will read
        elif not isinstance(exc, HttpProcessingError):
            super().handle_error(request, status, exc, message)  # for its log
            error = internal(status, "the registry failed; its log says how")
        elif request.writer.output_size > 0:
            raise ConnectionError("an answer is under way")
        else:
            # only what kind of mistake it is: anything that came may be a secret
            _log.info("%s sent what is no request: %s", request.remote, type(exc).__name__)
            error = WireError(status, "UNSUPPORTED", "what came is no HTTP request for this server")
        answer = error_answer(error)
        answer.headers.update(SANDBOX | SERVER)
        answer.force_close()
        return answer


def new_speaker(server: web.Server) -> web.RequestHandler:
    """Make what speaks with the next client of a server."""
    speaker = server()
    # a server makes its own kind only; this one differs in nothing but a method
    speaker.__class__ = Speaker
    return speaker
