"""`homie completion`: what makes the shell complete commands, options and the names of machines."""

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from homie_core.cli.render import say

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS), required=False)
@click.pass_context
def completion(ctx: click.Context, shell: str | None) -> None:
    """Make the shell complete commands and names.

    \b
    bash:  add to ~/.bashrc   eval "$(homie completion bash)"
    zsh:   add to ~/.zshrc    eval "$(homie completion zsh)"
    fish:  homie completion fish > ~/.config/fish/completions/homie.fish
    """
    shell = shell or Path(os.environ.get("SHELL", "")).name
    kind = get_completion_class(shell) if shell in SHELLS else None
    if kind is None:
        raise click.UsageError(f"say for which shell: {', '.join(SHELLS)}")
    say(kind(ctx.find_root().command, {}, "homie", "_HOMIE_COMPLETE").source())
