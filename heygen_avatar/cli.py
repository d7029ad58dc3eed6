"""The command ``heygen-avatar``: what a person starts in a terminal. Loads what a sub-command needs when it runs."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from heygen_avatar.errors import ConfigurationError, HeyGenError

if TYPE_CHECKING:
    from heygen_avatar.simulator import Limits, Simulator


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the result is the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except HeyGenError as error:
        print(f"heygen-avatar: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130  # Ctrl-C before there was anything to end, or once more while it ended


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="heygen-avatar", description="Real-time avatars of HeyGen, from Python.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_simulator(commands)
    return parser


def _add_simulator(commands: Any) -> None:
    parser = commands.add_parser(
        "simulator",
        help="run a local HeyGen",
        description="A local HeyGen on 127.0.0.1: REST, WebSockets and WebRTC, no account, no network. Ctrl-C ends it.",
    )
    parser.add_argument("--port", type=int, default=0, help="where to listen (default: a free port)")
    parser.add_argument(
        "--json", action="store_true", help='print {"base_path": ..., "api_key": ...} as the first line'
    )
    parser.add_argument("--api-key", metavar="KEY", help="the account's key (default: made up)")
    parser.add_argument("--voice", choices=("auto", "espeak", "formant"), default="auto", help="who speaks")
    parser.add_argument("--fps", type=int, default=25, help="pictures a second (default: %(default)s)")
    parser.add_argument(
        "--avatar", metavar="ID", action="append", default=[], help="an avatar of your own that your code asks for"
    )
    parser.add_argument(
        "--voice-id", metavar="ID", action="append", default=[], help="a voice of your own that your code asks for"
    )
    parser.add_argument(
        "--limit",
        metavar="NAME=NUMBER",
        action="append",
        default=[],
        help="change a limit, as in --limit idle_timeout=5; a wrong name prints them all",
    )
    parser.add_argument(
        "program", metavar="-- PROGRAM ...", nargs="*", help="run a program against it, and end with the program"
    )
    parser.set_defaults(run=_run_simulator)


def _run_simulator(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM, or as long as the program runs that was given.

    Both signals are the ordinary ways to end a server that ends by no other, so both exit with 0. A program's exit code
    is passed on.
    """
    from heygen_avatar.simulator import Simulator

    simulator = Simulator(
        options.port,
        api_key=options.api_key,
        limits=_limits(options.limit),
        voice=options.voice,
        fps=options.fps,
        avatars=options.avatar,
        voices=options.voice_id,
    )
    if options.program:
        with simulator:
            return _run_program(options.program, simulator)
    with _signals_as_bytes() as signals, simulator:
        _introduce(simulator, as_json=options.json)
        signals.recv(1)
        # A second Ctrl-C does not wait for the sessions to end.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return 0


def _run_program(program: Sequence[str], simulator: Simulator) -> int:
    """Run ``program`` with the simulator in its environment, and return its exit code as a shell would."""
    environment = {**os.environ, "HEYGEN_BASE_PATH": simulator.base_path, "HEYGEN_API_KEY": simulator.api_key}
    try:
        process = subprocess.Popen(program, env=environment)
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
