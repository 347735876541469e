"""Options that several commands share. Their values are read in `settings`, like those of files."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any, TypedDict

import click

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]


class DataFlags(TypedDict):
    """What every command takes that works on the registry's own data."""

    data: Path | None


class CustodyFlags(TypedDict):
    """What every command takes that works with the log of custody."""

    custody_log: Path | None


class OutputFlags(TypedDict):
    """What every command takes; None is not given."""

    json: bool | None
    quiet: bool | None
    verbose: bool | None
    progress: bool | None
    log_file: Path | None
    config: Path | None


class NetworkFlags(OutputFlags):
    """What every command that talks to a registry takes."""

    plain_http: tuple[str, ...]
    insecure: tuple[str, ...]
    ca_file: Path | None
    cert: Path | None
    key: Path | None
    proxy: str | None
    retries: str | None
    timeout: str | None
    max_wait: str | None
    allow_host: tuple[str, ...]


# Whoever opens a file says best what is wrong with it, so nothing is asked beforehand.
FILE = click.Path(path_type=Path, readable=False)
BUNDLE = click.Path(path_type=Path, allow_dash=True, readable=False)


class _NewFile(click.Path):
    """The path of a file to be written; one that ends as a folder's does is not taken for one."""

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | bytes | os.PathLike[str]:
        text = os.fspath(value)
        if not text or text.endswith(os.sep):
            self.fail(f"{text!r} is not the name of a file.", param, ctx)
        return super().convert(value, param, ctx)


NEW_BUNDLE = _NewFile(path_type=Path, allow_dash=True, readable=False)


def all_of(*decorators: Decorator) -> Decorator:
    """Several decorators as one; the first one's option stands first in the help."""
    return lambda command: reduce(lambda done, add: add(done), reversed(decorators), command)


def output_options(command: Command) -> Command:
    """Add the options of every command."""
    return all_of(
        click.option(
            "--json/--no-json",
            default=None,
            help="Print events and the result as lines of JSON.",
        ),
        click.option(
            "-q", "--quiet", is_flag=True, default=None, help="Print warnings and errors only."
        ),
        click.option(
            "-v", "--verbose", is_flag=True, default=None, help="Print each item and why."
        ),
        click.option(
            "--progress/--no-progress", default=None, help="Show how far it is, or do not."
        ),
        click.option("--log-file", type=FILE, metavar="FILE", help="Append every event to a file."),
        click.option(
            "--config", type=FILE, metavar="FILE", help="Read settings from this file, too."
        ),
    )(command)


def network_options(command: Command) -> Command:
    """Add the options of every command that talks to a registry."""
    return all_of(
        click.option(
            "--plain-http",
            multiple=True,
            metavar="HOST",
            help="Speak to this host without TLS (repeatable).",
        ),
        click.option(
            "--insecure",
            multiple=True,
            metavar="HOST",
            help="Do not check this host's TLS certificate (repeatable).",
        ),
        click.option(
            "--ca-file",
            type=FILE,
            metavar="FILE",
            help="Trust these certificates beside the system's.",
        ),
        click.option("--cert", type=FILE, metavar="FILE", help="A TLS client certificate."),
        click.option("--key", type=FILE, metavar="FILE", help="The key of the certificate."),
        click.option(
            "--proxy",
            metavar="URL",
            help="Reach every host but loopback and those of NO_PROXY through this proxy.",
        ),
        click.option(
            "--retries",
            metavar="N",
            help="Repeat a request so often without any progress (default 5).",
        ),
        click.option(
            "--timeout",
            metavar="TIME",
            help="Give a connection up after so long without a byte (default 60s).",
        ),
        click.option(
            "--max-wait",
            metavar="TIME",
            help="The longest pause that a server may ask for (default 5m).",
        ),
        click.option(
            "--allow-host",
            multiple=True,
            metavar="HOST",
            help="Fetch layer urls from this host even in a private network (repeatable).",
        ),
    )(command)


def data_option(command: Command) -> Command:
    """Add `--data`."""
    return click.option(
        "--data",
        type=FILE,
        metavar="DIR",
        help="The folder of the registry's data (default: in the user's data folder).",
    )(command)


def list_option(text: str) -> Decorator:
    """Add `-f` and `--file`.

    Args:
        text: What such a file is, for the help.
    """
    return click.option(
        "-f",
        "--file",
        type=BUNDLE,
        multiple=True,
        metavar="FILE",
        help=f"{text}; - is standard input (repeatable).",
    )


def platform_option(text: str) -> Decorator:
    """Add `--platform`.

    Args:
        text: What is done with these platforms, for the help.
    """
    return click.option("--platform", multiple=True, metavar="OS/ARCH[/VARIANT]", help=text)


def keep_going_option(command: Command) -> Command:
    """Add `--keep-going`, for commands that leave something out."""
    return click.option(
        "--keep-going", is_flag=True, help="Leave out what fails, and exit with 3."
    )(command)


def jobs_option(command: Command) -> Command:
    """Add `--jobs`."""
    return click.option(
        "-j", "--jobs", metavar="N", help="How much goes on at once, per registry (default 4)."
    )(command)


def custody_option(command: Command) -> Command:
    """Add `--custody-log`."""
    return click.option(
        "--custody-log",
        type=FILE,
        metavar="FILE",
        help="The log of custody (default: in the user's folder of states).",
    )(command)


def expect_option(command: Command) -> Command:
    """Add `--expect`."""
    return click.option(
        "--expect", metavar="ID", help="Refuse any bundle but the one with this id."
    )(command)
