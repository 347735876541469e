"""Tells systemd how the service is (sd_notify(3)): one datagram for each change."""

from __future__ import annotations

import logging
import socket

_log = logging.getLogger(__name__)


class Notifier:
    """Tells the service manager, if there is one.

    Args:
        address: The value of `NOTIFY_SOCKET`; one that begins with `@` is in Linux's abstract
            namespace.
    """

    def __init__(self, address: str | None = None) -> None:
        is_known = bool(address) and address is not None and address[0] in "/@"
        self._address = address if is_known else None

    def ready(self, status: str) -> None:
        """The server takes requests."""
        self._send(f"READY=1\nSTATUS={status}")

    def stopping(self) -> None:
        """The server has begun to stop."""
        self._send("STOPPING=1\nSTATUS=letting transfers finish")

    def _send(self, text: str) -> None:
        if self._address is None:
            return
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.connect(address)
                sender.sendall(text.encode())
        except OSError as error:
            _log.warning("the service manager cannot be told: %s", error.strerror or error)
