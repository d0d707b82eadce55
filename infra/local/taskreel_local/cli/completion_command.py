"""`taskreel completion`: the script that completes commands, options, types and jobs in a shell."""

from __future__ import annotations

import click

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def print_completion(shell: str) -> None:
    """Print the completion script of a SHELL.

    \b
    bash   echo 'eval "$(taskreel completion bash)"' >> ~/.bashrc
    zsh    echo 'eval "$(taskreel completion zsh)"' >> ~/.zshrc
    fish   taskreel completion fish > ~/.config/fish/completions/taskreel.fish
    """
    from click.shell_completion import get_completion_class

    from taskreel_local.cli.main import main

    script = get_completion_class(shell)
    if script is None:
        raise click.UsageError(f"There is no completion for {shell}.")
    source = script(main, {}, "taskreel", "_TASKREEL_COMPLETE")
    # `source` would run bash to ask for its version; the script alone is wanted here.
    click.echo(source.source_template % source.source_vars())
