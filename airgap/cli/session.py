"""What every command sets up before it calls the engine: settings, events, a client."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from airgap.cli.console import Console, Verbosity
from airgap.cli.invocation import Invocation
from airgap.cli.jsonlines import JsonSink, error_line
from airgap.cli.output import Output
from airgap.cli.progress import BarDisplay, Display, LineDisplay, NoDisplay
from airgap.cli.pump import STOPPING, EventPump, EventSink
from airgap.cli.settings import Settings, load_settings, wants_json
from airgap.errors import AirgapError, SettingsError, StorageError
from airgap.run import CancelToken, Run
from airgap.run.events import Notice
from airgap.version import __version__

if TYPE_CHECKING:  # network code is loaded only by commands that use it
    from airgap.registry.client import Client
    from airgap.registry.credentials import CredentialStore

_MAX_ROWS = 8


class Session:
    """The settings of one command and how it reports.

    Args:
        invocation: What main handed over.
        flags: The command's options by name.
        command: What the command is called.
        is_bundle_on_stdout: Whether standard output belongs to the bundle.
        stopping: What is said when the run is told to stop.

    Raises:
        SettingsError: A setting makes no sense.
    """

    def __init__(
        self,
        invocation: Invocation,
        flags: Mapping[str, object],
        *,
        command: str,
        is_bundle_on_stdout: bool = False,
        stopping: Notice = STOPPING,
    ) -> None:
        if is_bundle_on_stdout:
            invocation.use_stderr()
        # What is known about JSON by now counts for errors in the settings, too.
        flag = flags.get("json")
        invocation.is_json = wants_json(()) if flag is None else bool(flag)
        self.settings: Settings = load_settings(flags)
        invocation.is_json = self.settings.json
        invocation.is_quiet = self.settings.quiet
        invocation.has_color = self.settings.environment.has_color
        self.invocation = invocation
        self.command = command
        self._stopping = stopping
        self._pump: EventPump | None = None

    @contextmanager
    def run(self) -> Iterator[Run]:
        """Give a run that reports as the settings say and stops when a signal comes.

        Raises:
            StorageError: The log file or the output could not be written.
        """
        token = CancelToken()
        with ExitStack() as stack:
            log = self._open_log(stack)
            pump = self._pump = EventPump(self._sinks(log), token, stopping=self._stopping)
            stack.enter_context(self.invocation.signals(token))
            pump.start()
            try:
                yield Run(pump, token)
            except BaseException as error:
                _close_quietly(pump)
                if log is not None and isinstance(error, AirgapError):
                    log.write(error_line(error, when=datetime.now(UTC)))
                raise
            pump.close()
            if log is not None:
                log.write(_log_line("finished", self.command, exit=0))

    def show_result(self, result: object, lines: Callable[[], Iterable[str]]) -> None:
        """Show what came of the command before its run ends, so that its log tells how it ended.

        Raises:
            StorageError: It could not be written.
        """
        if self._pump is not None:
            self._pump.close()  # what is drawn goes away first
        self.invocation.show_result(self.command, result, lines)

    def show_events(self) -> None:
        """Show now what was reported until now, so that a question comes behind it."""
        if self._pump is not None:
            self._pump.pump()

    @contextmanager
    def client(self, run: Run) -> Iterator[Client]:
        """Give a client that reaches registries as the settings say.

        Raises:
            SettingsError: A file of the settings cannot be read.
        """
        from airgap.registry.client import Client
        from airgap.registry.options import ClientOptions

        settings, environment = self.settings, self.settings.environment
        for name, path in (
            ("ca-file", settings.ca_file),
            ("cert", settings.cert),
            ("key", settings.key),
        ):
            if path is not None:
                _check_readable(name, path)
        options = ClientOptions(
            plain_http=settings.plain_http,
            insecure=settings.insecure,
            ca_file=settings.ca_file,
            cert=settings.cert,
            key=settings.key,
            proxy=settings.proxy,
            http_proxy=environment.http_proxy,
            https_proxy=environment.https_proxy,
            no_proxy=environment.no_proxy,
            retries=settings.retries,
            timeout=settings.timeout,
            max_wait=settings.max_wait,
            jobs=settings.jobs,
            allow_hosts=settings.allow_host,
        )
        with Client(options, self.credentials(), run=run) as client:
            yield client

    @property
    def custody_log(self) -> Path:
        """Where the log of custody lies."""
        return self.settings.custody_log or self.settings.environment.state_folder / "custody.log"

    def credentials(self) -> CredentialStore:
        """The places where docker, podman and airgap keep credentials."""
        from airgap.registry.credentials import CredentialStore

        environment = self.settings.environment
        return CredentialStore(environment.docker_config, environment.containers_auth)

    def _sinks(self, log: Output | None) -> list[EventSink]:
        settings, stderr = self.settings, sys.stderr
        sinks: list[EventSink] = []
        if log is not None:
            sinks.append(JsonSink(log, has_times=True))
        if settings.json:
            return [*sinks, JsonSink(self.invocation.output)]
        verbosity: Verbosity = (
            "quiet" if settings.quiet else "verbose" if settings.verbose else "normal"
        )
        has_color = self.invocation.has_color and stderr.isatty()
        return [*sinks, Console(self._display(stderr), verbosity=verbosity, has_color=has_color)]

    def _display(self, stream: TextIO) -> Display:
        if self.settings.quiet or not self.settings.progress:
            return NoDisplay(stream)
        if not (stream.isatty() and self.settings.environment.has_cursor):
            return LineDisplay(stream, now=time.monotonic)
        room = shutil.get_terminal_size().lines - 3
        rows = max(0, min(_MAX_ROWS, room, self.settings.jobs * 2))
        return BarDisplay(stream, rows=rows, now=time.monotonic)

    def _open_log(self, stack: ExitStack) -> Output | None:
        path = self.settings.log_file
        if path is None:
            return None
        try:
            file = stack.enter_context(path.open("a", encoding="utf-8"))
        except OSError as error:
            raise StorageError(
                f"the log file {path} cannot be written: {error.strerror or error}",
                hint="--log-file names a file that you may write",
                origin="local",
            ) from error
        log = Output(file)
        log.write(_log_line("started", self.command))
        return log


def _close_quietly(pump: EventPump) -> None:
    try:
        pump.close()
    except AirgapError:  # the error that ended the run counts
        return


def _log_line(kind: str, command: str, **more: int) -> str:
    time_of_day = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = {"time": time_of_day, "type": kind, "command": command, "version": __version__}
    return json.dumps(line | more, separators=(",", ":"))


def _check_readable(name: str, path: Path) -> None:
    try:
        with path.open("rb"):
            return
    except OSError as error:
        raise SettingsError(
            f"--{name} {path} cannot be read: {error.strerror or error}",
            hint="check that the file is there and that you may read it",
        ) from error
