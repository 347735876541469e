"""How a command asks the process that serves a data folder to do something.

A socket in the folder, which only its owner reaches: one line of JSON there, one back. A backup
keeps its connection open, and as long as it is open nothing is removed.
"""

from __future__ import annotations

import json
import logging
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from airgap.content.atomic import remove_file, write_file
from airgap.content.storage import storage_error, storage_errors
from airgap.errors import (
    AirgapError,
    CancelledError,
    ContentNotFoundError,
    InvalidContentError,
    LockedError,
    SettingsError,
    StorageError,
    StorageFullError,
    UnavailableError,
)
from airgap.run.cancel import CancelToken
from airgap.server.datafolder import DataDepot
from airgap.server.gc import without_collection
from airgap.server.orders import ORDERS

SOCKET_NAME = "control.sock"
POINTER_NAME = "control"
"""Says where the socket is, if the folder's name is too long for one."""

_MAX_PATH = 100
_MAX_LINE = 1 << 20
_HOLD = "hold"
_ERRORS: dict[str, type[AirgapError]] = {
    kind.code: kind
    for kind in (
        CancelledError,
        ContentNotFoundError,
        InvalidContentError,
        LockedError,
        SettingsError,
        StorageError,
        StorageFullError,
    )
}
_log = logging.getLogger(__name__)

Result = dict[str, Any]


class ControlServer:
    """Takes orders for a depot in threads of its own while the context lasts.

    Args:
        depot: What it works on.
        watch: Gets the name and the result of each order that was carried out, or None for the
            result of one that failed.
    """

    def __init__(
        self, depot: DataDepot, *, watch: Callable[[str, Result | None], None] | None = None
    ) -> None:
        self._depot = depot
        self._watch = watch or (lambda _name, _result: None)
        self._stack = ExitStack()
        self._threads: set[threading.Thread] = set()
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._is_closing = False
        self._cancel = CancelToken()

    def __enter__(self) -> ControlServer:
        """Begin to take orders.

        Raises:
            StorageError: The socket cannot be made.
        """
        path = self._place()
        with storage_errors(path), ExitStack() as stack:
            listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            path.unlink(missing_ok=True)
            listener.bind(str(path))
            path.chmod(0o600)
            listener.listen()
            self._stack.callback(path.unlink, missing_ok=True)
            self._stack.push(stack.pop_all())
        thread = threading.Thread(
            target=self._accept, args=(listener,), name="airgap-control", daemon=True
        )
        thread.start()
        self._stack.callback(thread.join)
        # a thread that waits for a connection ends when the socket is shut down
        self._stack.callback(_shut, listener)
        return self

    def __exit__(self, *_: object) -> None:
        """Take no more orders, and end when those that run have come to a stop."""
        with self._lock:
            self._is_closing = True
            self._cancel.cancel()
            connections, threads = set(self._connections), set(self._threads)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RD)
        for thread in threads:
            thread.join()
        self._stack.close()

    def _place(self) -> Path:
        root = self._depot.root.absolute()
        if len(bytes(root / SOCKET_NAME)) <= _MAX_PATH:
            return root / SOCKET_NAME
        with storage_errors(root):
            folder = Path(tempfile.mkdtemp(prefix="airgap-"))
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        write_file(root / POINTER_NAME, bytes(folder / SOCKET_NAME), durable=False, mode=0o600)
        self._stack.callback(remove_file, root / POINTER_NAME, durable=False)
        return folder / SOCKET_NAME

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(
                target=self._serve, args=(connection,), name="airgap-order", daemon=True
            )
            with self._lock:
                if self._is_closing:
                    connection.close()
                    return
                self._threads.add(thread)
                self._connections.add(connection)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, suppress(OSError):
                self._answer(connection)
        finally:
            with self._lock:
                self._connections.discard(connection)
                self._threads.discard(threading.current_thread())

    def _carry_out(self, name: str, values: dict[str, Any]) -> Result:
        result: Result | None = None
        try:
            result = ORDERS[name](self._depot, values, self._cancel)
        finally:
            self._watch(name, result)
        return result

    def _answer(self, connection: socket.socket) -> None:
        try:
            order = _read(connection)
            name, values = str(order.get("order")), order.get("values", {})
            if name == _HOLD:
                with without_collection(self._depot):
                    _write(connection, {"result": {}})
                    connection.recv(1)  # until the other side is done or dies
                return
            if name not in ORDERS or not isinstance(values, dict):
                raise SettingsError(
                    f"the server does not know the order {name[:40]!r}",
                    hint="server and command should be of one version",
                )
            _write(connection, {"result": self._carry_out(name, values)})
        except AirgapError as error:
            answer = {"code": error.code, "message": error.message, "hint": error.hint}
            _write(connection, {"error": answer})
        except Exception:  # noqa: BLE001 (whoever gave the order gets to know)
            _log.exception("an order failed")
            failed = {"code": "storage", "message": "the server failed; its log says why"}
            _write(connection, {"error": failed})


def ask_server(root: Path, order: str, values: dict[str, Any]) -> dict[str, Any]:
    """Have the process that serves a folder do something.

    Args:
        root: The folder.
        order: What, see `airgap.server.orders`.
        values: How.

    Raises:
        UnavailableError: No process takes orders there.
        AirgapError: What came of it there.
    """
    with _connect(root) as connection:
        return _exchange(connection, order, values)


@contextmanager
def hold_server(root: Path) -> Iterator[None]:
    """Have the process that serves a folder remove nothing while the context lasts.

    Raises:
        UnavailableError: No process takes orders there.
        LockedError: It is removing something right now.
    """
    with _connect(root) as connection:
        _exchange(connection, _HOLD, {})
        yield


def _connect(root: Path) -> socket.socket:
    path = root.absolute() / SOCKET_NAME
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        pointer = root / POINTER_NAME
        if pointer.exists():
            path = Path(pointer.read_bytes()[:_MAX_PATH].decode())
        connection.connect(str(path))
    except (OSError, ValueError) as error:
        connection.close()
        if isinstance(error, PermissionError):
            raise storage_error(error, path) from error
        raise UnavailableError(f"nobody takes orders for {root}") from error
    return connection


def _exchange(connection: socket.socket, order: str, values: dict[str, Any]) -> dict[str, Any]:
    try:
        _write(connection, {"order": order, "values": values})
        answer = _read(connection)
    except OSError as error:
        raise UnavailableError("the server went away before it answered") from error
    failure = answer.get("error")
    if isinstance(failure, dict):
        kind = _ERRORS.get(str(failure.get("code")), StorageError)
        raise kind(str(failure.get("message")), hint=failure.get("hint"))
    result = answer.get("result")
    if not isinstance(result, dict):
        raise UnavailableError("the server went away before it answered")
    return result


def _read(connection: socket.socket) -> dict[str, Any]:
    raw = bytearray()
    while not raw.endswith(b"\n") and len(raw) < _MAX_LINE:
        part = connection.recv(1 << 16)
        if not part:
            break
        raw += part
    try:
        value = json.loads(raw)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _write(connection: socket.socket, value: dict[str, Any]) -> None:
    connection.sendall(json.dumps(value).encode() + b"\n")


def _shut(listener: socket.socket) -> None:
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
