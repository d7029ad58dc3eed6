"""``heygen-avatar simulator``: a local HeyGen, by itself or around a program."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from heygen_avatar.errors import ConfigurationError
from heygen_avatar.services import PLACES

if TYPE_CHECKING:
    from heygen_avatar.simulator import Limits, Simulator


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--port", type=int, default=0, help="Where to listen (default: a free port).")
@click.option("--json", "as_json", is_flag=True, help='Print {"base_path": ..., "api_key": ...} as the first line.')
@click.option("--api-key", metavar="KEY", help="The simulated account's key (default: made up).")
@click.option("--voice", type=click.Choice(["auto", "espeak", "formant"]), default="auto", help="Who speaks.")
@click.option("--fps", type=int, default=25, show_default=True, help="Pictures a second.")
@click.option("--avatar", "avatars", metavar="ID", multiple=True, help="An avatar of your own that your code asks for.")
@click.option("--voice-id", "voices", metavar="ID", multiple=True, help="A voice of your own that your code asks for.")
@click.option(
    "--limit",
    "limits",
    metavar="NAME=NUMBER",
    multiple=True,
    help="Change a limit, as in --limit idle_timeout=5; a wrong name prints them all.",
)
@click.option("--livekit-url", metavar="URL", help="Perform in rooms of this LiveKit server, as ws://127.0.0.1:7880.")
@click.option("--livekit-api-key", metavar="KEY", envvar="LIVEKIT_API_KEY", show_envvar=True, help="Its key.")
@click.option(
    "--livekit-api-secret", metavar="SECRET", envvar="LIVEKIT_API_SECRET", show_envvar=True, help="The key's secret."
)
@click.argument("program", metavar="[-- PROGRAM ...]", nargs=-1, type=click.UNPROCESSED)
def simulator(
    port: int,
    as_json: bool,
    api_key: str | None,
    voice: Any,
    fps: int,
    avatars: Sequence[str],
    voices: Sequence[str],
    limits: Sequence[str],
    livekit_url: str | None,
    livekit_api_key: str | None,
    livekit_api_secret: str | None,
    program: Sequence[str],
) -> int:
    """Run a local HeyGen on 127.0.0.1: REST, WebSockets and WebRTC, no account, no network.

    With a PROGRAM, run that against it, and end with it: the variables that name service and key lead to it.
    Without one, Ctrl-C ends it.
    """
    # Both signals are the ordinary ways to end a server that ends by no other, so both exit with 0.
    from heygen_avatar.simulator import Simulator

    local = Simulator(
        port,
        api_key=api_key,
        limits=_limits(limits),
        voice=voice,
        fps=fps,
        avatars=avatars,
        voices=voices,
        livekit_url=livekit_url,
        # An environment that has a key for something else does not ask for its server here.
        livekit_api_key=livekit_api_key if livekit_url else None,
        livekit_api_secret=livekit_api_secret if livekit_url else None,
    )
    if program:
        with local:
            return _run_program(program, local)
    with _signals_as_bytes() as signals, local:
        _introduce(local, as_json=as_json)
        signals.recv(1)
        # A second Ctrl-C does not wait for the sessions to end.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return 0


def _environment(simulator: Simulator) -> Mapping[str, str]:
    return {
        variable: value
        for place in PLACES.values()
        for variable, value in (
            (place.base_path_variable, simulator.base_path),
            (place.key_variable, simulator.api_key),
        )
    }


def _run_program(program: Sequence[str], simulator: Simulator) -> int:
    """Run ``program`` with the simulator in its environment, and return its exit code as a shell would."""
    try:
        process = subprocess.Popen(program, env={**os.environ, **_environment(simulator)})
    except OSError as error:
        raise ConfigurationError(f"{program[0]} could not be started: {error.strerror}") from None
    # Ctrl-C reaches the program too, which decides what it means; SIGTERM only reaches us, so it is passed on.
    former_int = signal.signal(signal.SIGINT, lambda *_: None)
    former_term = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        code = process.wait()
    finally:
        signal.signal(signal.SIGINT, former_int)
        signal.signal(signal.SIGTERM, former_term)
    return code if code >= 0 else 128 - code


def _introduce(simulator: Simulator, *, as_json: bool) -> None:
    base_path, api_key = simulator.base_path, simulator.api_key
    if as_json:
        print(json.dumps({"base_path": base_path, "api_key": api_key}), flush=True)
        return
    print(f"A local HeyGen listens on {base_path}. To use it:\n")
    print("    from heygen_avatar import StreamingAvatar")
    print(f'    avatar = StreamingAvatar(api_key="{api_key}", base_path="{base_path}")\n')
    print("Ctrl-C ends it.", flush=True)


def _limits(settings: Sequence[str]) -> Limits:
    from heygen_avatar.simulator import Limits
    from heygen_avatar.simulator.limits import limit_names

    kinds = dict(limit_names())
    values: dict[str, Any] = {}
    for setting in settings:
        name, _, number = setting.partition("=")
        try:
            values[name] = kinds[name](number)
        except (KeyError, ValueError):
            raise ConfigurationError(f"--limit {setting}: give NAME=NUMBER, NAME of {', '.join(kinds)}") from None
    try:
        return Limits(**values)
    except ValueError as error:
        raise ConfigurationError(f"--limit: {error.args[0]}") from None


@contextmanager
def _signals_as_bytes() -> Iterator[socket.socket]:
    """A socket on which SIGINT and SIGTERM arrive as bytes: a wait that both end, on every platform, at once."""
    ear, mouth = socket.socketpair()
    mouth.setblocking(False)
    former_fd = signal.set_wakeup_fd(mouth.fileno())
    former = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ear
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(former_fd)
        ear.close()
        mouth.close()
