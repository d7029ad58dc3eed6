"""The command ``heygen-avatar``: what a person starts in a terminal, or a script in a pipe.

It holds no knowledge of the service: each sub-command is a few calls of the package and the printing of what they
return. What a sub-command needs is loaded when it runs. Results go to standard output, all else to standard error.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from heygen_avatar.errors import MissingExtraError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the result is the exit code (see ``failures.ExitCode``)."""
    try:
        import click  # noqa: F401
    except ImportError:
        print(f"heygen-avatar: {MissingExtraError(extra='cli', feature='the command line')}", file=sys.stderr)
        return 1
    from heygen_avatar.cli.commands import run

    return run(arguments)
