"""Who signed in with a browser, and the tokens that show that a form came from our own page."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from airgap.oci.digest import keyed_digest

MAX_SESSIONS = 10_000
IDLE_SECONDS = 12 * 3600.0
MAX_SECONDS = 7 * 24 * 3600.0
_SESSION = "airgap-session"
_FORM = "airgap-form"


@dataclass(slots=True)
class Session:
    """One browser in which somebody signed in.

    Attributes:
        name: The user.
        stamp: What the user's account looked like then.
        began: When.
        used: When it was last used.
    """

    name: str
    stamp: str
    began: float
    used: float


class Sessions:
    """The sessions of a server; they end with it.

    Args:
        now: A clock in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._open: OrderedDict[str, Session] = OrderedDict()

    def begin(self, name: str, stamp: str) -> str:
        """Begin one; gives the secret that the browser keeps."""
        token, now = secrets.token_urlsafe(32), self._now()
        with self._lock:
            self._open[token] = Session(name, stamp, now, now)
            while len(self._open) > MAX_SESSIONS:
                self._open.popitem(last=False)  # the one that was used least lately
        return token

    def find(self, token: str) -> Session | None:
        """The session of a secret, unless it has ended."""
        now = self._now()
        with self._lock:
            session = self._open.get(token)
            if session is None:
                return None
            if now - session.used > IDLE_SECONDS or now - session.began > MAX_SECONDS:
                del self._open[token]
                return None
            session.used = now
            self._open.move_to_end(token)
            return session

    def end(self, token: str) -> None:
        """End one."""
        with self._lock:
            self._open.pop(token, None)


class Cookies:
    """The cookies of the pages: for no script, for no other site, under TLS for nothing else.

    Args:
        is_secure: Whether browsers reach the server by TLS, also where a proxy ends it; None to
            see that from each request.
    """

    def __init__(self, *, is_secure: bool | None = None) -> None:
        self._is_secure = is_secure

    def session(self, request: web.Request) -> str:
        """The secret of the session; empty where there is none."""
        return request.cookies.get(self._name(request, _SESSION), "")

    def form(self, request: web.Request) -> str:
        """What the tokens of forms are bound to; empty where there is nothing yet."""
        return request.cookies.get(self._name(request, _FORM), "")

    def keep_session(self, request: web.Request, response: web.StreamResponse, token: str) -> None:
        """Let the browser keep a session's secret until it is closed."""
        self._set(request, response, _SESSION, token)

    def keep_form(self, request: web.Request, response: web.StreamResponse, value: str) -> None:
        """Let the browser keep what the tokens of forms are bound to."""
        self._set(request, response, _FORM, value)

    def drop_session(self, request: web.Request, response: web.StreamResponse) -> None:
        """Let the browser forget the session."""
        response.del_cookie(
            self._name(request, _SESSION),
            path="/",
            secure=self.is_secure(request),
            httponly=True,
            samesite="Strict",
        )

    def is_secure(self, request: web.Request) -> bool:
        """Whether the browser came by TLS."""
        return request.secure if self._is_secure is None else self._is_secure

    def _set(
        self, request: web.Request, response: web.StreamResponse, name: str, value: str
    ) -> None:
        response.set_cookie(
            self._name(request, name),
            value,
            path="/",
            secure=self.is_secure(request),
            httponly=True,
            samesite="Strict",
        )

    def _name(self, request: web.Request, name: str) -> str:
        # with this prefix no other host of the domain can set the cookie (RFC 6265bis, 4.1.3)
        return f"__Host-{name}" if self.is_secure(request) else name


class FormTokens:
    """Tokens that only our own pages can put into a form.

    A token is bound to a cookie of the browser and to its session, so that none can be used in
    another browser or after a sign-in.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def make(self, form: str, session: str) -> str:
        """The token for a browser."""
        return keyed_digest(self._key, form.encode(), session.encode()).hex()

    def is_right(self, token: str, form: str, session: str) -> bool:
        """Whether a token is the one of this browser."""
        return bool(form) and secrets.compare_digest(
            token.encode(), self.make(form, session).encode()
        )


def new_form() -> str:
    """A value for a browser that has none yet."""
    return secrets.token_urlsafe(24)


def local_path(text: str) -> str:
    """Where to go on after signing in: a path of this server, whatever a link says."""
    is_local = text.startswith("/") and not text.startswith("//") and "\\" not in text
    return text if is_local and text.isprintable() else "/"
