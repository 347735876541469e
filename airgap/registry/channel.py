"""A registry as one side of a transfer talks to it: authorized, redirected safely, retried.

The resource modules ask through this; they see answers, never urllib3.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from airgap.errors import AirgapError, InvalidContentError, Origin, RegistryProtocolError
from airgap.oci.document import parse_object
from airgap.registry.auth import Authorizer
from airgap.registry.challenge import Access
from airgap.registry.endpoint import Endpoint, Url
from airgap.registry.failure import one_line, refusal
from airgap.registry.response import Response
from airgap.registry.retry import TRANSIENT_STATUS, Retrier, TransientError
from airgap.registry.scheme import Schemes
from airgap.registry.transport import ELSEWHERE, Request, Transport
from airgap.run import Run

MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
WRONG_ANSWER = "ask who runs the registry, or a proxy before it, to look at how it is set up"
WRONG_CONTENT = "whoever pushed it must build and push it again; leave it out until then"
_MAX_NOTICES = 1000
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Network:
    """What the channels of a client share."""

    transport: Transport
    schemes: Schemes
    retrier: Retrier
    run: Run
    clock: Callable[[], float]
    shown: set[str] = field(default_factory=set[str])
    lock: threading.Lock = field(default_factory=threading.Lock)

    def show_warnings(self, response: Response) -> None:
        """Pass on what a registry warns of, each text once (distribution-spec, "Warnings")."""
        for header in response.headers("Warning"):
            code, _, rest = header.partition(" ")
            text = one_line(rest.partition('"')[2].rpartition('"')[0].replace('\\"', '"'))
            if code != "299" or not text:
                continue
            message = f"{response.url.endpoint.netloc}: {text}"
            with self.lock:
                if message in self.shown or len(self.shown) >= _MAX_NOTICES:
                    continue
                self.shown.add(message)
            self.run.warn("registry-warning", message)


class Channel:
    """Asks one registry for one side.

    Args:
        registry: The registry, as users name it.
        origin: Which side it is.
        network: What all channels share.
        authorizer: What the registry wants to see.
    """

    def __init__(
        self, registry: str, origin: Origin, network: Network, authorizer: Authorizer
    ) -> None:
        self.registry = registry
        self.origin = origin
        self.network = network
        self._authorizer = authorizer

    def call(
        self, what: str, operation: Callable[[], _T], *, progress: Callable[[], int] | None = None
    ) -> _T:
        """Run an operation in the retry loop. What breaks the protocol says what to do about it."""
        try:
            return self.network.retrier.call(what, operation, progress=progress)
        except RegistryProtocolError as error:
            is_content = isinstance(error, InvalidContentError)
            error.hint = error.hint or (WRONG_CONTENT if is_content else WRONG_ANSWER)
            raise

    def endpoint(self) -> Endpoint:
        """Where the registry is asked.

        Raises:
            TransientError: It is on loopback and cannot be reached.
        """
        return self.network.schemes.endpoint(self.registry, origin=self.origin)

    def ask(self, request: Request, where: str | Url, *, access: Access, what: str) -> Response:
        """Send a request and give the answer that is the caller's to judge.

        A 401 is answered with a fresh token, once; a GET or HEAD follows redirects. The
        credentials go to the registry itself only, wherever the rest leads.

        Args:
            request: What to send.
            where: A path of the registry, or a url that it gave.
            access: What the request needs to be allowed to do.
            what: What is asked for, for people.

        Raises:
            TransientError: It may work a moment later.
            UnauthorizedError: It is not allowed.
            RegistryProtocolError: It was led in circles, or somewhere unsafe.
        """
        own = self.endpoint()
        url = Url(own, where) if isinstance(where, str) else where
        hops, is_renewed = 0, False
        while True:
            is_own = url.endpoint == own
            header = self._header(access) if is_own else None
            response = self._send(request, url, header, is_own=is_own)
            if is_own and response.status == 401:
                if not request.is_replayable:
                    return response
                if not is_renewed:
                    self.renew(response, access, stale=header, what=what)
                    is_renewed = True
                    continue
            if response.status not in REDIRECTS or not response.header("Location"):
                return self._judged(request, response, what, is_own=is_own)
            url = self._redirected(request, response, what)
            hops += 1
            if hops > MAX_REDIRECTS:
                raise RegistryProtocolError(
                    f"{own.netloc} redirected {what} more than {MAX_REDIRECTS} times",
                    hint=WRONG_ANSWER,
                    origin=self.origin,
                )

    def renew(self, response: Response, access: Access, *, stale: str | None, what: str) -> None:
        """Answer a 401 with a fresh token.

        Raises:
            UnauthorizedError: There is none for us.
            TransientError: The token server cannot be reached.
        """
        self._authorizer.renew(response, access, stale=stale, what=what, origin=self.origin)

    def current_header(self, access: Access) -> str | None:
        """The Authorization that the next request would carry."""
        return self._header(access)

    def refused(self, response: Response, what: str) -> AirgapError | TransientError:
        """The error for an answer that was not what was asked for."""
        return refusal(response, what, origin=self.origin)

    def json(self, response: Response, *, limit: int, what: str) -> dict[str, object]:
        """Read an answer's body as a JSON object.

        Raises:
            RegistryProtocolError: It is something else, or too large.
            TransientError: The connection broke.
        """
        raw = response.read_up_to(limit + 1)
        response.release()
        host = response.url.endpoint.netloc
        if len(raw) > limit:
            raise RegistryProtocolError(
                f"{host} answered more than {limit} bytes to {what}", origin=self.origin
            )
        try:
            return parse_object(raw, what=what)
        except InvalidContentError as error:
            raise RegistryProtocolError(
                f"{host}: {error.message}", hint=error.hint, origin=self.origin
            ) from error

    def _header(self, access: Access) -> str | None:
        return self._authorizer.header(access, endpoint=self.endpoint(), origin=self.origin)

    def _send(
        self, request: Request, url: Url, authorization: str | None, *, is_own: bool
    ) -> Response:
        if authorization is not None:
            headers = {**request.headers, "Authorization": authorization}
            request = Request(request.method, headers, request.body)
        lane = self.origin if is_own else ELSEWHERE + self.origin
        response = self.network.transport.send(request, url, lane=lane, origin=self.origin)
        if is_own:
            self.network.show_warnings(response)
        return response

    def _judged(self, request: Request, response: Response, what: str, *, is_own: bool) -> Response:
        if response.status in TRANSIENT_STATUS:
            raise self.refused(response, what)
        if response.status in (401, 403):
            if is_own:
                raise self.refused(response, what)
            if request.method != "HEAD":
                # A link to a storage that ran out; the registry gives a new one.
                error = self.refused(response, what)
                raise TransientError(error) if isinstance(error, AirgapError) else error
        return response

    def _redirected(self, request: Request, response: Response, what: str) -> Url:
        location = response.header("Location")
        response.release()
        if request.method not in ("GET", "HEAD"):
            raise RegistryProtocolError(
                f"{response.url.endpoint.netloc} redirected {what}, which airgap does not follow"
                f" for a {request.method}",
                hint="use the address that it redirects to",
                origin=self.origin,
                status=response.status,
            )
        try:
            return response.url.follow(location, what="a redirect")
        except RegistryProtocolError as error:
            error.origin = self.origin
            raise
