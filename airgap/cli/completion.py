"""`airgap completion`: click's own completion scripts."""

from __future__ import annotations

import click

from airgap.cli.invocation import Invocation

COMPLETE_VARIABLE = "_AIRGAP_COMPLETE"
"""What the scripts set; click derives the same name from the program's."""


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes airgap's commands and options in a shell.

    \b
    bash: eval "$(airgap completion bash)"        in ~/.bashrc
    zsh:  eval "$(airgap completion zsh)"         in ~/.zshrc
    fish: airgap completion fish | source         in ~/.config/fish/config.fish
    """  # noqa: D301 (\b keeps click from joining the lines)
    from click.shell_completion import ShellComplete, get_completion_class  # only here

    found = get_completion_class(shell)
    assert found is not None
    root = context.find_root().command
    # Not the class's own `source`: bash's starts a shell to ask for its version.
    script = ShellComplete.source(found(root, {}, "airgap", COMPLETE_VARIABLE))
    invocation = context.find_object(Invocation)
    assert invocation is not None
    invocation.output.write(script)
