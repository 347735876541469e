"""`airgap serve`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Unpack

import click

from airgap.cli.invocation import Invocation
from airgap.cli.keyless_options import identities_of
from airgap.cli.logs import logs_as_notices
from airgap.cli.options import FILE, DataFlags, OutputFlags, data_option, output_options
from airgap.cli.serve_limits import LimitFlags, limit_options, read_limits, read_settings
from airgap.cli.serving import Serving
from airgap.cli.serving_options import ServingOptions
from airgap.cli.session import Session
from airgap.cli.signing_options import (
    REVOCATIONS,
    SignatureFlags,
    signature_option,
    trust_of,
    trust_options,
)
from airgap.cli.trust import plain_lines, trust_lines
from airgap.errors import SettingsError
from airgap.run import Run
from airgap.run.events import Notice
from airgap.server.certificates import SelfSigned
from airgap.server.run import resolve, serve
from airgap.trust.signer import Signer

COMMAND = "serve"
_STOPPING = Notice(
    "warning",
    "stopping",
    "stopping; transfers that are under way may finish (once more to leave at once)",
)


class ServeFlags(OutputFlags, DataFlags, LimitFlags, SignatureFlags):
    """The options of the command."""

    bundles: tuple[Path, ...]
    listen: str
    tls_cert: Path | None
    tls_key: Path | None
    tls_self_signed: bool
    is_plain: bool
    names: tuple[str, ...]
    external_url: str | None
    users: Path | None
    anonymous_pull: bool
    keep_host: bool
    database: str | None
    sync: bool
    access_log: Path | None
    access_log_format: Literal["json", "common"]
    print_trust: bool


@dataclass(frozen=True, slots=True)
class ServeResult:
    """Where the registry is, for JSON (docs/json-output.md)."""

    url: str
    host: str
    port: int
    data: str | None
    bundles: tuple[str, ...]
    is_read_only: bool
    has_users: bool
    certificate_authority: str | None
    fingerprint: str | None
    signers: tuple[Signer, ...]


@dataclass(frozen=True, slots=True)
class TrustResult:
    """What clients have to trust, for JSON (docs/json-output.md)."""

    host: str
    certificate_authority: str
    fingerprint: str
    expires: str


@click.command("serve")
@click.argument("bundles", type=FILE, nargs=-1, metavar="[BUNDLE]...")
@data_option
@click.option(
    "--listen",
    default="127.0.0.1:5000",
    show_default=True,
    metavar="HOST:PORT",
    help="Where to listen; port 0 takes any that is free.",
)
@click.option("--tls-cert", type=FILE, metavar="FILE", help="Speak TLS with this certificate.")
@click.option("--tls-key", type=FILE, metavar="FILE", help="Its key, if not in the same file.")
@click.option(
    "--tls-self-signed", is_flag=True, help="Speak TLS with a certificate of an own authority."
)
@click.option("--plain-http", "is_plain", is_flag=True, help="Listen elsewhere without TLS.")
@click.option(
    "--name",
    "--tls-name",
    "names",
    multiple=True,
    metavar="NAME",
    help="A name or address under which clients reach the registry (repeatable).",
)
@click.option(
    "--external-url", metavar="URL", help="How clients reach it where a proxy stands before it."
)
@click.option(
    "--users", type=FILE, metavar="DIR", help="The folder of the users, if not that of --data."
)
@click.option("--anonymous-pull", is_flag=True, help="Let everyone pull everything.")
@click.option("--keep-host", is_flag=True, help="Keep the source's host in names of bundles.")
@click.option("--database", metavar="URL", help="Keep metadata there: postgresql+psycopg://…")
@click.option(
    "--sync/--no-sync", default=True, help="Sync what is pushed before it is acknowledged, or not."
)
@click.option(
    "--access-log", type=click.Path(path_type=Path, allow_dash=True), metavar="FILE",
    help="Note each request in a file; - is standard output.",
)  # fmt: skip
@click.option(
    "--access-log-format",
    type=click.Choice(["json", "common"]),
    default="json",
    show_default=True,
    help="How requests are noted.",
)
@click.option("--print-trust", is_flag=True, help="Print how clients trust it, and end.")
@trust_options
@signature_option
@limit_options
@output_options
@click.pass_obj
def serve_registry(invocation: Invocation, **flags: Unpack[ServeFlags]) -> None:
    """Be a registry: of what is in the data folder, or of BUNDLEs as they are.

    Without --data, bundles are served read-only and no folder is touched; with it, what is pushed
    goes there and lies over the bundles. As long as there are no users, everyone on this machine
    may do everything and nobody else can reach it: airgap user add NAME --admin.

    A bundle that leaves blobs to its receiver is served together with the bundles that hold them.
    """
    session = Session(invocation, flags, command=COMMAND, stopping=_STOPPING)
    options = _options(session, flags)
    if flags["print_trust"]:
        host, trusted = options.trusted()
        trust = TrustResult(host, str(trusted.authority), trusted.fingerprint, _day(trusted))
        lines = trust_lines(host, trusted.authority, trusted.fingerprint)
        invocation.show_result(f"{COMMAND} --print-trust", trust, lambda: lines)
        return
    with ExitStack() as stack:
        run = stack.enter_context(session.run())
        stack.enter_context(logs_as_notices(run))
        serving = stack.enter_context(Serving(options, run=run))
        serving.open_access_log(
            flags["access_log"], flags["access_log_format"], invocation.output.write
        )
        _serve(serving, invocation, run)


def _serve(serving: Serving, invocation: Invocation, run: Run) -> None:
    def started(port: int) -> None:
        result = _result(serving, port)
        invocation.show_result(COMMAND, result, lambda: _lines(serving, result))
        serving.start_checking()

    asyncio.run(
        serve(
            serving.app(),
            serving.server_options(),
            connections=serving.connections,
            health=serving.health,
            started=started,
            cancel=run.cancel,
        )
    )


def _options(session: Session, flags: ServeFlags) -> ServingOptions:
    environment = session.settings.environment
    data = flags["data"]
    if data is None and not flags["bundles"]:
        data = environment.data_folder
    host, port = _address(flags["listen"])
    return ServingOptions(
        bundles=flags["bundles"],
        data=data,
        users=flags["users"],
        listen=resolve(host, port),
        tls_cert=flags["tls_cert"],
        tls_key=flags["tls_key"],
        tls_self_signed=flags["tls_self_signed"],
        plain_http=flags["is_plain"],
        names=flags["names"],
        external_url=flags["external_url"] or "",
        anonymous_pull=flags["anonymous_pull"],
        keep_host=flags["keep_host"],
        database=flags["database"],
        sync=flags["sync"],
        limits=read_limits(flags),
        settings=read_settings(flags),
        notify_socket=environment.notify_socket,
        trust=partial(
            trust_of,
            session,
            identities_of(flags),
            kept_in=data / REVOCATIONS if data else None,
        ),
        signature=flags["signature"],
    )


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise SettingsError(
            f"--listen {text[:200]!r} is not HOST:PORT", hint="127.0.0.1:5000, 0.0.0.0:443, [::]:0"
        )
    return host, int(port)


def _day(trusted: SelfSigned) -> str:
    return trusted.expires.date().isoformat()


def _result(serving: Serving, port: int) -> ServeResult:
    options, trusted = serving.options, serving.self_signed
    return ServeResult(
        url=options.url(port),
        host=options.host(port),
        port=port,
        data=str(options.data) if options.data else None,
        bundles=tuple(str(path) for path in options.bundles),
        is_read_only=options.data is None,
        has_users=serving.has_users,
        certificate_authority=str(trusted.authority) if trusted else None,
        fingerprint=trusted.fingerprint if trusted else None,
        signers=serving.signers,
    )


def _lines(serving: Serving, result: ServeResult) -> Iterator[str]:
    options, trusted = serving.options, serving.self_signed
    what = [*result.bundles, *([result.data] if result.data else [])]
    yield f"serving {', '.join(what)} at {result.url}"
    if result.is_read_only:
        yield "  nobody can push: there is no --data"
    if result.has_users:
        yield f"  docker login {result.host}"
    elif options.anonymous_pull:
        yield "  everyone may pull" + ("" if result.is_read_only else ", and nobody may push yet")
    elif not result.is_read_only:
        yield "  everyone on this machine may push and pull; airgap user add NAME --admin ends that"
    if trusted is not None:
        yield from trust_lines(result.host, trusted.authority, trusted.fingerprint)
    elif not options.has_tls and not options.is_loopback:
        yield from plain_lines(result.host)
