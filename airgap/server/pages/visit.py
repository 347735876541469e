"""One request for a page: who came, what is theirs to see, and the answer around the content."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from airgap.content.arrival import ArrivalSource
from airgap.content.depot import Depot, ReadOnly
from airgap.oci.reference import is_registry
from airgap.server.access import Accounts, Action, Guard, Principal
from airgap.server.errors import WireError
from airgap.server.exchange import PRINCIPAL
from airgap.server.pages.arriving import ArrivalDesk
from airgap.server.pages.commands import Address
from airgap.server.pages.library import Library
from airgap.server.pages.render import page_answer
from airgap.server.pages.sessions import Cookies, FormTokens, Sessions, new_form

TOKEN_FIELD = "form-token"  # noqa: S105 - the name of a field
TOKEN_HEADER = "X-Airgap-Form-Token"  # noqa: S105 - the name of a header


@dataclass(frozen=True, slots=True)
class Site:
    """What the pages stand on.

    Attributes:
        depot: What is shown.
        guard: Who may see and do what.
        external_host: How clients call the server; empty for what they say themselves.
        cookies: How cookies are set.
        sessions: Who signed in.
        tokens: What forms carry.
        desk: Takes bundles in; None where nothing can be brought.
        ledgers: Which bundles came, and which are served in place.
    """

    depot: Depot
    guard: Guard
    external_host: str
    cookies: Cookies
    sessions: Sessions
    tokens: FormTokens
    desk: ArrivalDesk | None
    ledgers: tuple[ArrivalSource, ...]

    @property
    def has_users(self) -> bool:
        """Whether one can sign in."""
        return isinstance(self.guard, Accounts) and self.guard.has_users

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be written."""
        return isinstance(self.depot, ReadOnly) and self.depot.is_read_only


@dataclass(frozen=True, slots=True)
class Visit:
    """One request.

    Attributes:
        site: What the pages stand on.
        request: What came.
        principal: Who came.
        form: What the tokens of forms are bound to.
        session: The secret of the session; empty where nobody signed in.
    """

    site: Site
    request: web.Request
    principal: Principal
    form: str
    session: str

    @property
    def library(self) -> Library:
        """What the visitor may see."""
        return Library(self.site.depot, self.may_pull)

    @property
    def token(self) -> str:
        """What shows that a form comes from this page."""
        return self.site.tokens.make(self.form, self.session)

    @property
    def can_bring(self) -> bool:
        """Whether the visitor may try to bring a bundle; what it may write to is asked later."""
        site = self.site
        is_known = not self.principal.is_anonymous or not site.has_users
        return site.desk is not None and not site.is_read_only and is_known

    @property
    def address(self) -> Address:
        """How clients reach the registry."""
        host = self.site.external_host or self.request.host
        shown = host if is_registry(host) else "localhost"
        return Address(shown, is_plain=not self.site.cookies.is_secure(self.request))

    def may_pull(self, repository: str) -> bool:
        """Whether the visitor may pull from a repository."""
        return self.site.guard.may(self.principal, Action.PULL, repository)

    def may_push(self, repository: str) -> bool:
        """Whether the visitor may push to a repository."""
        return self.site.guard.may(self.principal, Action.PUSH, repository)

    def check_token(self, token: object) -> None:
        """See that a form comes from one of our own pages.

        Raises:
            WireError: It does not.
        """
        is_right = isinstance(token, str) and self.site.tokens.is_right(
            token, self.form, self.session
        )
        if not is_right:
            raise WireError(403, "DENIED", "the form is out of date: load the page again")

    def page(self, template: str, /, *, status: int = 200, **values: object) -> web.Response:
        """Answer with a page."""
        site = self.site
        around: dict[str, object] = {
            "user": self.principal.name,
            "can_sign_in": site.has_users and self.principal.is_anonymous,
            "can_bring": self.can_bring,
            "form_token": self.token,
            "here": self.request.rel_url.path_qs,
            "registry": self.address.host,
            "query": "",
        }
        response = page_answer(
            template, around | values, status=status, is_head=self.request.method == "HEAD"
        )
        if site.cookies.form(self.request) != self.form:
            site.cookies.keep_form(self.request, response, self.form)
        return response


async def receive(site: Site, request: web.Request) -> Visit:
    """Find out who came.

    Raises:
        WireError: The request may not be made at all, or its credentials are wrong.
    """
    principal = await site.guard.identify(request)
    secret = site.cookies.session(request)
    session = site.sessions.find(secret) if secret else None
    user = None
    if session is not None and isinstance(site.guard, Accounts):
        user = site.guard.principal(session.name)
        if user is None or site.guard.stamp(session.name) != session.stamp:
            site.sessions.end(secret)  # removed, or with another password since
            user = None
    if user is None:
        secret = ""
    request[PRINCIPAL] = user or principal
    form = site.cookies.form(request) or new_form()
    return Visit(site, request, user or principal, form, secret)
