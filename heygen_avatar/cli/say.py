"""``heygen-avatar say``: an avatar says a text, to be heard or into a file."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from heygen_avatar.cli.captions import Captions
from heygen_avatar.cli.options import account, json_option, session_options, settings
from heygen_avatar.cli.passages import passages
from heygen_avatar.cli.printing import Status, print_json
from heygen_avatar.cli.stage import aloud, on_stage, require

if TYPE_CHECKING:
    from heygen_avatar.media.recorder import Recording


@click.command()
@click.argument("text")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Record to this file (.mp4, .mov, .mkv; sound alone: .m4a, .wav) instead of playing.",
)
@session_options
@json_option
def say(
    text: str, output: Path | None, service: str | None, base_path: str | None, as_json: bool, **choices: Any
) -> None:
    """Let an avatar say TEXT, or what comes by standard input if TEXT is "-".

    It is heard on the loudspeaker, or recorded with -o. What it says is printed as it is said. A text of more than
    1,000 characters is said in passages, and a blank line is a pause.
    """
    spoken = passages(sys.stdin.read() if text == "-" else text)
    if not spoken:
        raise click.UsageError("there is nothing to say")
    chosen = account(service, base_path)
    if output is not None:
        _check_output(output)
    status = Status()
    recording: Recording | None = None
    with ExitStack() as stage:
        avatar = stage.enter_context(on_stage(chosen, settings(**choices), status))
        if output is None:
            stage.enter_context(aloud(avatar, status))
        else:
            recording = stage.enter_context(avatar.record(output))
        captions = Captions(avatar, live=sys.stdout.isatty() and not as_json)
        for passage in spoken:
            captions.begin()
            avatar.say(passage)
            if not as_json:
                captions.finish(passage)
    if recording is not None:
        status.note(f"{output}: {recording.duration:.1f} s of picture and sound")
    if as_json:
        print_json(
            {
                "session_id": avatar.session_id,
                "output": None if output is None else str(output),
                "seconds": None if recording is None else round(recording.duration, 3),
                "transcript": avatar.transcript.to_dicts(),
            }
        )


def _check_output(output: Path) -> None:
    """A recording that cannot be written is refused before a session is paid for."""
    require("av", extra="record", feature="say --output")
    if not output.parent.is_dir():
        raise click.UsageError(f"{output}: there is no folder {output.parent}")
    from heygen_avatar.media.movie import FORMATS

    if output.suffix.lower() not in FORMATS:
        raise click.UsageError(f"{output}: let its name end with one of {', '.join(FORMATS)}")
