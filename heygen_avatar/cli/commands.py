"""All sub-commands together, and how a run of one ends."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

import click

from heygen_avatar.cli.chat import chat
from heygen_avatar.cli.completion import completion
from heygen_avatar.cli.doctor import doctor
from heygen_avatar.cli.failures import ExitCode, advice, exit_code
from heygen_avatar.cli.listings import avatars, contexts, voices
from heygen_avatar.cli.say import say
from heygen_avatar.cli.sessions import sessions
from heygen_avatar.cli.simulator import simulator
from heygen_avatar.errors import HeyGenError
from heygen_avatar.version import __version__

PROGRAM = "heygen-avatar"

_EXIT_CODES = """\b
Exit codes:
  0    done
  1    failed: a file, a missing extra, an unknown avatar, a server's failure
  2    the command line makes no sense; nothing was sent
  3    no API key, or the service does not accept it
  4    the service gave no usable answer, or none in time
  5    no credits, too many sessions, or too many requests
  6    the session could not be started, or ended early
  130  Ctrl-C; every session was ended first
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=_EXIT_CODES)
@click.version_option(__version__, prog_name=PROGRAM)
@click.option("--debug", is_flag=True, help="Say on standard error all that happens.")
def root(debug: bool) -> None:
    """Real-time avatars of HeyGen, from the command line.

    The account's key comes from the environment: HEYGEN_API_KEY, or LIVEAVATAR_API_KEY for LiveAvatar. Without an
    account, start with: heygen-avatar simulator -- heygen-avatar say "Hello!"
    """
    if debug:
        logging.basicConfig(level=logging.DEBUG, format="%(relativeCreated)6.0f ms  %(name)s  %(message)s")


for command in (say, chat, simulator, avatars, voices, contexts, sessions, doctor, completion):
    root.add_command(command)


def run(arguments: Sequence[str] | None) -> int:
    """Run the command and return its exit code."""
    try:
        result = root.main(
            args=None if arguments is None else list(arguments), prog_name=PROGRAM, standalone_mode=False
        )
    except click.ClickException as error:
        error.show()
        return ExitCode.USAGE if isinstance(error, click.UsageError) else ExitCode.FAILED
    except click.Abort:  # Ctrl-C, as click calls it
        return ExitCode.INTERRUPTED
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        return _nobody_reads()
    except HeyGenError as error:
        hint = advice(error)
        click.echo(f"{PROGRAM}: {error}" + (f"\n{PROGRAM}: {hint}" if hint else ""), err=True)
        return exit_code(error)
    return int(result or 0)


def _nobody_reads() -> int:
    """``| head`` has seen enough: not worth a word, and the interpreter's last flush must not complain either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return ExitCode.DONE
