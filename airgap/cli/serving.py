"""What `airgap serve` puts together: content, users, TLS, names, pages and numbers."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

from aiohttp import web

from airgap.bundle.depot import BundleDepot
from airgap.bundle.discovery import discover
from airgap.bundle.opened import BundleState
from airgap.bundle.reader import BundleReader, open_bundle
from airgap.cli.serving_options import TLS_FOLDER, ServingOptions
from airgap.cli.signing_options import signatures_of
from airgap.content.arrival import Admission, Arrival, ArrivalOptions, RemoteFile
from airgap.content.depot import Depot
from airgap.content.posix import free_bytes
from airgap.content.storage import storage_errors
from airgap.errors import SettingsError, SignatureError
from airgap.run import Run
from airgap.run.events import Notice
from airgap.server.access import Accounts, Guard, OpenGuard, PullGuard
from airgap.server.accesslog import AccessFile, access_logger
from airgap.server.app import create_app
from airgap.server.auth.guard import GuardOptions, open_guard
from airgap.server.certificates import SelfSigned, certificate_names, self_signed
from airgap.server.connections import watch_request
from airgap.server.control import ControlServer
from airgap.server.database.tidy import TidyReport
from airgap.server.datafolder import DataDepot, open_data
from airgap.server.health import Check, Health
from airgap.server.hosts import Names, guard_hosts
from airgap.server.metrics import Metrics, MetricsPage
from airgap.server.notify import Notifier
from airgap.server.pages.arriving import ArrivalDesk
from airgap.server.pages.routes import make_site, page_routes
from airgap.server.pages.visit import Site
from airgap.server.run import Chore, ServerOptions, new_connections
from airgap.server.tls import ServerTls
from airgap.transfer.serving import import_names, served_arrival
from airgap.transfer.trusting import check_bundle_trust
from airgap.trust.policy import Trust
from airgap.trust.signer import Signer
from airgap.wording import count_text

_RENEW_SECONDS = 3600.0


class Serving:
    """Everything that a registry consists of, open for as long as the context lasts.

    Args:
        options: What was asked for.
        run: Where it is told of.

    Attributes:
        options: What was asked for.
        connections: Counts connections.
        health: Says whether it works.
        metrics: Its numbers.
        self_signed: Its own certificate authority, if it has one.
        signers: Those who are trusted and have signed bundles that it serves.

    Raises:
        SettingsError: It would let in whoever comes.
    """

    def __init__(self, options: ServingOptions, *, run: Run) -> None:
        self.options = options
        self.metrics = Metrics()
        self.connections = new_connections(options.limits)
        self.self_signed: SelfSigned | None = None
        self.signers: tuple[Signer, ...] = ()
        self._run = run
        self._stack = ExitStack()
        self._data: DataDepot | None = None
        self._bundles: BundleDepot | None = None
        self._served = _Served(())
        self._tls: ServerTls | None = None
        self._access_log: logging.Logger | None = None
        self._access_format: Literal["json", "common"] = "json"
        self._chores: list[Chore] = []

    def __enter__(self) -> Self:
        """Open everything."""
        with self._stack as stack:
            self.depot = self._open_depot()
            self.guard = self._open_guard()
            self._open_tls()
            self.health = Health(self._checks())
            self._watch()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of everything."""
        self._stack.close()

    @property
    def has_users(self) -> bool:
        """Whether there are users."""
        return isinstance(self.guard, Accounts) and self.guard.has_users

    def app(self) -> web.Application:
        """The application."""
        options = self.options
        names = [*options.own_names()]
        if options.tls_cert:
            names += certificate_names(options.tls_cert)
        known = Names.of(
            names, any_address=not options.is_loopback, external_url=options.external_url
        )
        numbers = MetricsPage(self.metrics, self.guard, is_behind_proxy=bool(options.external_url))
        return create_app(
            self.depot,
            options.settings,
            guard=self.guard,
            middlewares=(watch_request, self.metrics.middleware(), guard_hosts(known)),
            routes=[
                *self.health.routes(),
                web.get("/metrics", numbers.get),
                *page_routes(self._site()),
            ],
        )

    def server_options(self) -> ServerOptions:
        """How the process runs."""
        return ServerOptions(
            listen=self.options.listen,
            limits=self.options.limits,
            tls=self._tls.context if self._tls else None,
            access_log=self._access_log,
            access_format=self._access_format,
            chores=self._chores,
            notifier=Notifier(self.options.notify_socket),
        )

    def start_checking(self) -> None:
        """Begin to hash the bundles in the background."""
        if self._bundles is not None:
            self._bundles.start_checking()

    def open_access_log(
        self,
        path: Path | None,
        access_format: Literal["json", "common"],
        write: Callable[[str], None],
    ) -> None:
        """Note requests from now on.

        Args:
            path: Where; `-` is standard output, None is nowhere.
            access_format: How.
            write: Writes a line to standard output.
        """
        if path is None:
            return
        handler = _Lines(write) if str(path) == "-" else AccessFile(path)
        self._stack.callback(handler.close)
        self._access_log = access_logger(handler)
        self._access_format = access_format

    # -- the parts -----------------------------------------------------------------------------

    def _open_depot(self) -> Depot:
        options = self.options
        if options.bundles:
            self._bundles = self._open_bundles(options.bundles)
        if options.data is None:
            assert self._bundles is not None
            return self._bundles
        self._data = open_data(options.data, durable=options.sync, database_url=options.database)
        self._stack.callback(self._data.close)
        self._tell_tidied(self._data.report)
        self._stack.enter_context(ControlServer(self._data, watch=self._count_order))
        if self._bundles is None:
            return self._data
        from airgap.content.overlay import OverlayDepot  # only where bundles lie under a folder

        return OverlayDepot(self._data, (self._bundles,))

    def _count_order(self, name: str, result: Mapping[str, Any] | None) -> None:
        if name != "gc":
            return
        if result is None:
            self.metrics.collection_failed()
        elif not result["is_dry_run"]:
            freed = int(result["size"]) + int(result["upload_size"])
            self.metrics.collected(freed=freed, when=time.time())

    def _site(self) -> Site:
        """The pages for people. A bundle can be brought where there is a folder for it."""
        data, folder, desk = self._data, self.options.data, None
        if data is not None and folder is not None:
            self._try_trust()
            free = partial(_free, folder)
            take = partial(_take_bundle, self.options.trust)
            desk = ArrivalDesk(self.depot, take, ledger=data, free_bytes=free)
            self._stack.callback(desk.close)
        return make_site(
            self.depot,
            self.guard,
            external_url=self.options.external_url,
            desk=desk,
            ledgers=[self._served, *([data] if data is not None else [])],
        )

    def _try_trust(self) -> None:
        """Say at the start what would refuse every bundle that is brought; pulls go on."""
        try:
            self.options.trust()
        except SignatureError as error:  # what is known of revoked keys is damaged
            self._run.warn("signature", f"{error.message}; {error.hint or 'mend it'}")

    def _tell_tidied(self, report: TidyReport) -> None:
        uploads = count_text(report.dropped_uploads, "upload")
        blobs = count_text(report.adopted, "blob")
        lost = count_text(len(report.lost), "blob")
        shown = ", ".join(map(str, report.lost[:3]))
        for is_so, notice in (
            (
                report.dropped_uploads,
                Notice("info", "tidied", f"dropped {uploads} that nobody went on with"),
            ),
            (
                report.adopted,
                Notice("info", "tidied", f"found {blobs} of pushes that a crash cut short"),
            ),
            (
                report.lost,
                Notice("warning", "content-lost", f"{lost} gone; push again: {shown}"),
            ),
        ):
            if is_so:
                self._run.emit(notice)

    def _open_bundles(self, paths: tuple[Path, ...]) -> BundleDepot:
        naming = import_names(keep_host=self.options.keep_host)
        with ExitStack() as opening:
            readers = [
                opening.enter_context(open_bundle(list(found.files.values())))
                for found in discover(paths)
            ]
            self._check_trust(readers)
            self._served = _Served(
                served_arrival(reader, keep_host=self.options.keep_host) for reader in readers
            )
            depot = BundleDepot(readers, naming)
            opening.pop_all()
        self._stack.callback(depot.close)
        return depot

    def _check_trust(self, readers: Sequence[BundleReader]) -> None:
        """Refuse to serve bundles that are not signed as is demanded."""
        options, trust = self.options, self.options.trust()
        detached = signatures_of(options.signature, trust, options.bundles, run=self._run)
        found: dict[Signer, None] = {}
        for reader in readers:
            verdict = check_bundle_trust(reader.catalog, trust, detached, run=self._run)
            found |= dict.fromkeys(verdict.signers if verdict is not None else ())
        self.signers = tuple(found)

    def _open_guard(self) -> Guard:
        options, folder = self.options, self.options.state_folder
        if folder is None:
            if options.is_exposed and not options.anonymous_pull:
                raise _nobody_let_in(options, "--anonymous-pull, or --users DIR")
            return PullGuard() if options.anonymous_pull else OpenGuard()
        guard = open_guard(
            folder,
            GuardOptions(
                anonymous_pull=options.anonymous_pull, external_url=options.external_url or None
            ),
        )
        self._stack.callback(guard.close)
        if options.is_exposed and not guard.has_users and not options.anonymous_pull:
            hint = f"airgap user add NAME --admin --data {folder}; or --anonymous-pull"
            raise _nobody_let_in(options, hint)
        return guard

    def _open_tls(self) -> None:
        options = self.options
        if options.tls_self_signed and options.state_folder is not None:
            folder, names = options.state_folder / TLS_FOLDER, options.own_names()
            self.self_signed = self_signed(folder, names)
            self._tls = ServerTls(self.self_signed.server)
            renew = partial(self_signed, folder, names)
            self._chores.append(Chore("renewing the certificate", _RENEW_SECONDS, renew))
        elif options.tls_cert is not None:
            self._tls = ServerTls(options.tls_cert, options.tls_key)

    def _checks(self) -> Mapping[str, Check]:
        checks: dict[str, Check] = {}
        if self._data is not None:
            checks["storage"] = self._data.check_ready
        return checks

    def _watch(self) -> None:
        metrics, data, bundles = self.metrics, self.options.data, self._bundles
        metrics.watch(
            "connections", "Clients that are connected", "", lambda: {"": len(self.connections)}
        )
        if data is not None:
            metrics.watch(
                "free_bytes", "Room that is left for content", "", lambda: {"": _free(data)}
            )
        if bundles is None:
            return
        gauges: tuple[tuple[str, str, Callable[[BundleState], float]], ...] = (
            ("bundle_bytes", "Bytes of the blobs of a bundle", lambda state: state.total),
            ("bundle_checked_bytes", "Those that were hashed", lambda state: state.checked),
            ("bundle_wrong_blobs", "Blobs that are damaged", lambda state: len(state.wrong)),
            (
                "bundle_unchanged",
                "Whether the file is the one that was opened",
                lambda state: state.is_unchanged,
            ),
        )
        for name, text, value in gauges:
            metrics.watch(name, text, "bundle", partial(_bundle_values, bundles, value))


class _Served:
    """The bundles that are served in place, for pages. Nothing is noted: they never came."""

    def __init__(self, bundles: Iterable[Arrival]) -> None:
        self._bundles = tuple(bundles)

    def note_arrival(self, arrival: Arrival, /) -> None:
        """Nothing comes here."""

    def arrivals(self) -> Iterator[Arrival]:
        """All of them."""
        return iter(self._bundles)


class _Lines(logging.Handler):
    """Lines for standard output."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        """Write one."""
        self._write(self.format(record))


def _nobody_let_in(options: ServingOptions, hint: str) -> SettingsError:
    where = options.external_url or options.listen.host
    return SettingsError(f"there are no users: everyone could come in by {where}", hint=hint)


def _take_bundle(
    trust: Callable[[], Trust | None],
    file: RemoteFile,
    depot: Depot,
    options: ArrivalOptions,
    admission: Admission,
    *,
    run: Run,
) -> Arrival:
    # what brings bundles in takes a good part of the start, and few servers are brought any
    from airgap.transfer.arrive import take_bundle

    # Trust is read anew for each bundle: dates go on, and lists of revoked keys come.
    return take_bundle(file, depot, options, admission, run=run, trust=trust())


def _free(folder: Path) -> int:
    with storage_errors(folder):
        return free_bytes(folder)


def _bundle_values(
    bundles: BundleDepot, value: Callable[[BundleState], float]
) -> Mapping[str, float]:
    return {str(state.path): value(state) for state in bundles.states}
