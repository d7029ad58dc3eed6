"""``heygen-avatar completion``: the script by which a shell completes the command's words."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_INSTALL = {
    "bash": "echo 'eval \"$(heygen-avatar completion bash)\"' >> ~/.bashrc",
    "zsh": "echo 'eval \"$(heygen-avatar completion zsh)\"' >> ~/.zshrc",
    "fish": "heygen-avatar completion fish > ~/.config/fish/completions/heygen-avatar.fish",
}


@click.command(epilog="\b\nTo have it for good:\n" + "\n".join(f"  {line}" for line in _INSTALL.values()))
@click.argument("shell", type=click.Choice(sorted(_INSTALL)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that lets SHELL complete commands and options."""
    kind = get_completion_class(shell)
    assert kind is not None  # the choices are click's own
    click.echo(kind(context.find_root().command, {}, "heygen-avatar", "_HEYGEN_AVATAR_COMPLETE").source())
