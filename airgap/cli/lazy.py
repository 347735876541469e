"""Groups of commands that know their names and load a command only when it is used."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:  # only completion needs it at run time, and loads it itself
    from click.shell_completion import CompletionItem


class LazyCommand(NamedTuple):
    """Where a command lies and what a list of commands says of it."""

    module: str
    attribute: str
    short_help: str


class LazyGroup(click.Group):
    """A group whose help and completion need no command to be loaded.

    Args:
        name: What it is called.
        help: What its page says.
        lazy: Its commands by name.
    """

    def __init__(self, name: str, *, help: str, lazy: Mapping[str, LazyCommand]) -> None:  # noqa: A002 (click's own name)
        super().__init__(name, help=help, short_help=help.partition("\n")[0])
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, in order."""
        return sorted({*self.lazy, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command."""
        entry = self.lazy.get(cmd_name)
        if entry is None:
            return super().get_command(ctx, cmd_name)
        command = getattr(import_module(entry.module), entry.attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with what is known of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._short_help(name)) for name in self.list_commands(ctx)])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the names of commands and the group's options."""
        from click.shell_completion import CompletionItem  # needed by nothing else

        items = [
            CompletionItem(name, help=self._short_help(name))
            for name in self.list_commands(ctx)
            if name.startswith(incomplete)
        ]
        return items + click.Command.shell_complete(self, ctx, incomplete)

    def _short_help(self, name: str) -> str:
        entry = self.lazy.get(name)
        return entry.short_help if entry else self.commands[name].get_short_help_str(80)
