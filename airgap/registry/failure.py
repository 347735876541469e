"""What went wrong, as errors of airgap: of the network, and of what a registry answered."""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import BadStatusLine
from typing import Any

from urllib3 import exceptions

from airgap.errors import (
    AirgapError,
    ContentNotFoundError,
    InvalidContentError,
    Origin,
    RegistryProtocolError,
    TrustError,
    UnauthorizedError,
    UnavailableError,
)
from airgap.oci.document import parse_object
from airgap.registry.endpoint import Endpoint
from airgap.registry.response import Response
from airgap.registry.retry import TRANSIENT_STATUS, TransientError, parse_retry_after

MAX_ERROR_BODY = 64 * 1024
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
# What Go, nginx and Apache answer to HTTP at a port for TLS, always with a 400.
_WANTS_TLS = re.compile(rb"HTTP request (was )?(sent )?to (an )?HTTPS|plain HTTP to an SSL", re.I)
_NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE")


def one_line(text: str, limit: int = 200) -> str:
    """Make text of somebody else fit to be shown: no control characters, and not much of it."""
    clean = _CONTROL.sub(" ", text[: limit * 4]).strip()
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


@dataclass(frozen=True, slots=True)
class WireErrors:
    """The errors of a body (distribution-spec, "Error Codes").

    Attributes:
        codes: The codes, in order.
        text: Codes and messages in one line; empty where there are none.
        is_html: Whether a page came instead of JSON.
        wants_tls: Whether it says that plain HTTP came where TLS is spoken.
    """

    codes: tuple[str, ...] = ()
    text: str = ""
    is_html: bool = False
    wants_tls: bool = False

    def has(self, *codes: str) -> bool:
        """Whether one of the codes is among them."""
        return any(code in self.codes for code in codes)


def parse_wire_errors(raw: bytes, content_type: str) -> WireErrors:
    """Read the body of an answer that says no; whatever it is, this does not fail."""
    wants_tls = _WANTS_TLS.search(raw) is not None
    if "html" in content_type.lower() or raw.lstrip()[:1] == b"<":
        return WireErrors(text="HTML instead of JSON", is_html=True, wants_tls=wants_tls)
    try:
        listed = parse_object(raw, what="an error").get("errors")
    except InvalidContentError:
        return WireErrors(text=one_line(raw.decode("utf-8", "replace")), wants_tls=wants_tls)
    entries: list[Any] = listed if isinstance(listed, list) else []
    pairs = [
        (one_line(str(entry.get("code") or ""), 64), str(entry.get("message") or ""))
        for entry in entries[:20]
        if isinstance(entry, dict)
    ]
    said = dict.fromkeys(f"{code}: {message}".strip(": ") for code, message in pairs)
    return WireErrors(tuple(code for code, _ in pairs if code), one_line("; ".join(said)))


def read_wire_errors(response: Response) -> WireErrors:
    """Read the errors of an answer and give its connection back."""
    try:
        raw = response.read_up_to(MAX_ERROR_BODY)
    except (TransientError, AirgapError):
        raw = b""
    finally:
        response.release()
    return parse_wire_errors(raw, response.header("Content-Type"))


def refusal(
    response: Response, what: str, *, origin: Origin | None, wire: WireErrors | None = None
) -> AirgapError | TransientError:
    """Make an error of an answer that was not what was asked for.

    Args:
        response: The answer; its body is read, and its connection given back.
        what: What was asked for, for people.
        origin: Which side it is.
        wire: The errors of its body, where they were read before.
    """
    wire = read_wire_errors(response) if wire is None else wire
    host, status = response.url.endpoint.netloc, response.status
    said = f" ({wire.text})" if wire.text else ""
    if status in TRANSIENT_STATUS:
        return _busy(response, what, said, origin=origin)
    if status in (401, 403):
        return UnauthorizedError(
            f"{host} does not allow {what}{said}", hint=login_hint(host), origin=origin
        )
    if status == 404:
        return ContentNotFoundError(f"{host} does not have {what}{said}", origin=origin)
    hint = "a proxy or a login page may have answered" if wire.is_html else None
    # the answer to a HEAD has no text
    if response.url.endpoint.scheme == "http" and status == 400 and (wire.wants_tls or not said):
        hint = f"if {host} speaks TLS, it must not be named with --plain-http"
    return RegistryProtocolError(
        f"{host} answered {status} to {what}{said}",
        hint=hint,
        origin=origin,
        status=status,
        wire_codes=wire.codes,
    )


def repository_missing(
    response: Response, repository: str, wire: WireErrors, *, origin: Origin | None
) -> ContentNotFoundError:
    """The error for a 404 to something that is to be written: there is no place for it."""
    said = f" ({wire.text})" if wire.text else ""
    return ContentNotFoundError(
        f"{response.url.endpoint.netloc} has no repository {repository} to push to{said}",
        hint="check the name; some registries want a repository to be created first",
        origin=origin,
    )


def _busy(response: Response, what: str, said: str, *, origin: Origin | None) -> TransientError:
    host, status = response.url.endpoint.netloc, response.status
    hint = "try again later"
    if status == 429:
        hint = "too many requests: wait, use fewer --jobs, or log in where that raises the limit"
    error = UnavailableError(f"{host} answered {status} to {what}{said}", hint=hint, origin=origin)
    wait = parse_retry_after(response.header("Retry-After"), now=datetime.now(UTC))
    return TransientError(error, retry_after=wait)


def login_hint(host: str) -> str:
    """What to do about a refusal."""
    name = "docker.io" if host == "registry-1.docker.io" else host
    return f"log in with `airgap login {name}`, or check the name and the rights of the account"


def network_failure(
    error: Exception, endpoint: Endpoint, *, origin: Origin | None
) -> AirgapError | TransientError:
    """Make an error of what urllib3 raised, while asking or while reading a body."""
    host = endpoint.netloc
    if isinstance(error, exceptions.NameResolutionError):
        return _unknown_host(error, host, origin)
    if isinstance(error, exceptions.ProxyError):
        return TransientError(
            UnavailableError(
                f"{host} cannot be reached through the proxy: {_proxy_reason(error)}",
                hint="check --proxy and the proxy's own log",
                origin=origin,
            )
        )
    if isinstance(error, exceptions.SSLError):
        return _tls_failure(error, host, origin)
    if isinstance(error, exceptions.NewConnectionError):
        reason = _reason(error)
        message = f"{host} cannot be reached: {reason}"
    elif isinstance(error, exceptions.ConnectTimeoutError):
        message = f"{host} cannot be reached: no connection in time"
    elif isinstance(error, exceptions.TimeoutError):
        message = f"{host} sent nothing for too long"
    elif isinstance(error, exceptions.LocationValueError | ValueError):
        return RegistryProtocolError(f"{host} cannot be asked that", origin=origin)
    else:
        message = f"the connection to {host} broke"
    hint = "try again later"
    if endpoint.scheme == "http" and _is_unanswered(error):
        hint += f"; if {host} speaks TLS, it must not be named with --plain-http"
    return TransientError(UnavailableError(message, hint=hint, origin=origin))


def _is_unanswered(error: Exception) -> bool:
    """Whether the connection ended where an answer should have begun, as TLS servers do it."""
    cause = error.args[-1] if isinstance(error, exceptions.ProtocolError) and error.args else None
    return isinstance(cause, BadStatusLine | ConnectionError)


def _proxy_reason(error: exceptions.ProxyError) -> str:
    """Why a proxy was of no use, without the names of classes that urllib3 puts there."""
    cause = error.original_error
    inner = cause.args[0] if isinstance(cause, exceptions.SSLError) and cause.args else cause
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"its TLS certificate is not trusted: {one_line(inner.verify_message or '', 120)}"
    if isinstance(inner, ssl.SSLError):
        return "it does not speak TLS" if is_not_tls(str(inner)) else "TLS with it failed"
    if isinstance(cause, exceptions.NameResolutionError):
        return "its name is not known"
    if isinstance(cause, exceptions.NewConnectionError):
        return _reason(cause)
    if isinstance(cause, exceptions.TimeoutError):
        return "it sent nothing for too long"
    if isinstance(cause, OSError):
        return one_line(_redacted(cause.strerror or str(cause)), 120) or "the connection broke"
    return "the connection broke"


def _unknown_host(
    error: exceptions.NameResolutionError, host: str, origin: Origin | None
) -> AirgapError | TransientError:
    unknown = UnavailableError(
        f"the host {host} is not known",
        hint="check the name, the DNS settings and whether a proxy is needed",
        origin=origin,
    )
    cause = error.__cause__
    if isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_AGAIN:
        return TransientError(unknown)
    return unknown


def _tls_failure(
    error: Exception, host: str, origin: Origin | None
) -> AirgapError | TransientError:
    cause = error.args[0] if error.args else None
    if isinstance(cause, ssl.SSLCertVerificationError):
        reason = one_line(cause.verify_message or "it does not match", 120)
        return TrustError(
            f"the TLS certificate of {host} is not trusted: {reason}",
            hint=f"name the authority that signed it with --ca-file, or use --insecure {host}",
            origin=origin,
        )
    text = str(cause)
    if is_not_tls(text):
        return TrustError(
            f"{host} does not speak TLS",
            hint=f"if it is meant to be asked in the clear: --plain-http {host}",
            origin=origin,
        )
    if isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError) or "EOF" in text:
        broken = UnavailableError(
            f"the TLS connection to {host} broke", hint="try again later", origin=origin
        )
        return TransientError(broken)
    return TrustError(
        f"TLS with {host} failed: {one_line(text, 120)}",
        hint="check --ca-file, --cert and --key, and which TLS versions the registry speaks",
        origin=origin,
    )


def is_not_tls(text: str) -> bool:
    """Whether the text of a TLS error says that the other side speaks something else."""
    upper = text.upper().replace(" ", "_")
    return any(name in upper for name in _NOT_TLS)


def _reason(error: BaseException) -> str:
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.lower()
    return "no connection"


def _redacted(text: str) -> str:
    return re.sub(r"//[^/@\s]*@", "//", text)
