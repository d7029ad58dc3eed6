"""``heygen-avatar chat``: a conversation, typed or spoken."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import click

from heygen_avatar import (
    AvatarEndMessage,
    AvatarTalkingMessage,
    HeyGenError,
    Microphone,
    SessionError,
    StreamingAvatar,
    UserEndMessage,
    UserTalkingMessage,
)
from heygen_avatar.cli.captions import Captions
from heygen_avatar.cli.options import account, json_option, session_options, settings
from heygen_avatar.cli.printing import Status, print_json
from heygen_avatar.cli.stage import aloud, on_stage

_PROMPT = "you> "


@click.command()
@click.option("--microphone", is_flag=True, help="Speak instead of typing; Ctrl-C ends the conversation.")
@click.option("--knowledge", metavar="TEXT", help="What the avatar knows and how it behaves: a system prompt.")
@click.option("--no-sound", is_flag=True, help="Do not play the answers on the loudspeaker.")
@session_options
@json_option
def chat(
    microphone: bool,
    knowledge: str | None,
    no_sound: bool,
    service: str | None,
    base_path: str | None,
    as_json: bool,
    **choices: Any,
) -> None:
    """Talk with an avatar: type a line, read and hear the answer.

    Ctrl-C while it answers interrupts the answer; Ctrl-C or Ctrl-D at the prompt ends the conversation. In a pipe, each
    line of standard input is a question, and each line of standard output an answer; with --json, a question and its
    answer.
    """
    chosen = account(service, base_path)
    source = Microphone() if microphone else None  # a microphone that is not there is told of before a session costs
    status = Status()
    fields = settings(**choices)
    if knowledge is not None:
        fields["knowledge_base"] = knowledge
    with ExitStack() as stage:
        avatar = stage.enter_context(on_stage(chosen, fields, status))
        if not no_sound:
            stage.enter_context(aloud(avatar, status))
        if source is not None:
            _by_voice(avatar, source, status, as_json=as_json)
        else:
            _by_keyboard(avatar, as_json=as_json)


def _by_keyboard(avatar: StreamingAvatar, *, as_json: bool) -> None:
    asking = sys.stdin.isatty()
    captions = Captions(avatar, live=sys.stdout.isatty() and not as_json, prefix="avatar> " if asking else "")
    for question in _typed() if asking else _piped():
        captions.begin()
        try:
            exchange = avatar.ask(question)
        except KeyboardInterrupt:
            if not asking:
                raise
            captions.finish("")
            avatar.interrupt()
            continue
        except SessionError:
            raise
        except HeyGenError as error:  # this question failed; the next one may not
            captions.finish("")
            if not asking:
                raise
            click.echo(f"heygen-avatar: {error}", err=True)
            continue
        if as_json:
            print_json({"question": exchange.question, "answer": exchange.answer})
        else:
            captions.finish(exchange.answer)
        sys.stdout.flush()


def _typed() -> Iterator[str]:
    """Lines from the terminal, until Ctrl-D; Ctrl-C at the prompt is the caller's."""
    with suppress(ImportError):  # where the platform has it, it gives input() a history and arrow keys
        import readline  # noqa: F401
    while True:
        try:
            line = input(_PROMPT).strip()
        except EOFError:
            click.echo()
            return
        if line:
            yield line


def _piped() -> Iterator[str]:
    return (line.strip() for line in sys.stdin if line.strip())


def _by_voice(avatar: StreamingAvatar, source: Microphone, status: Status, *, as_json: bool) -> None:
    """Print both sides, a line for each turn, until the session ends or Ctrl-C."""
    words: dict[str, str] = {"you": "", "avatar": ""}

    def end(speaker: str, whole: str) -> None:
        text = (whole or words[speaker]).strip()
        words[speaker] = ""
        if text and as_json:
            print_json({"speaker": speaker, "text": text})
        elif text:
            click.echo(f"{speaker}> {text}")

    events = avatar.events()
    with avatar.start_voice_chat(source=source):
        status.note("Speak. Ctrl-C ends the conversation.")
        for event in events:
            match event:
                case UserTalkingMessage():
                    words["you"] += event.message
                case AvatarTalkingMessage():
                    words["avatar"] += event.message
                case UserEndMessage():
                    end("you", event.message)
                case AvatarEndMessage():
                    end("avatar", event.message)
