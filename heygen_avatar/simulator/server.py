"""The simulator as a whole: one port, one thread, one event loop.

:class:`Simulator` puts the parts together and answers for their end. It holds no behaviour of HeyGen's: that is in
``streaming.py``, ``liveavatar/`` and what they use. Its public methods may be called from any thread but the
simulator's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Literal, TypeVar

from aiohttp import web
from attrs import field, frozen

from heygen_avatar.errors import ConfigurationError, InvalidRequestError, UsageError
from heygen_avatar.simulator.accidents import Accidents
from heygen_avatar.simulator.accounts import Account
from heygen_avatar.simulator.brain import BrainSettings
from heygen_avatar.simulator.catalog import Catalog
from heygen_avatar.simulator.faults import SESSION_KINDS, Fault, Faults, Plan, read_plan
from heygen_avatar.simulator.limits import Limits
from heygen_avatar.simulator.listener import Hearing
from heygen_avatar.simulator.liveavatar.service import LiveAvatar
from heygen_avatar.simulator.livekit_rooms import LiveKitRooms
from heygen_avatar.simulator.management import Management
from heygen_avatar.simulator.openapi.document import DESCRIPTION_PATH, describe
from heygen_avatar.simulator.recogniser import Recogniser, RecogniserSettings, load_recogniser
from heygen_avatar.simulator.replies import (
    INVALID_PARAMETER,
    Refusal,
    allow_browsers,
    answer_in_json,
    read_json,
    server_logger,
)
from heygen_avatar.simulator.sessions import EndReason, Sessions
from heygen_avatar.simulator.sfu import Sfu
from heygen_avatar.simulator.stage import Rooms
from heygen_avatar.simulator.streaming import StreamingV1
from heygen_avatar.simulator.studio import Studio
from heygen_avatar.simulator.voice import Voice, load_voice

Result = TypeVar("Result")
logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
"""The only address it listens on: what it simulates is nobody else's business."""


class Simulator:
    """A local HeyGen: real REST, WebSockets and WebRTC on a port of this machine, without an account or a network.

    ::

        with Simulator() as sim:
            avatar = StreamingAvatar(api_key=sim.api_key, base_path=sim.base_path)

    Args:
        port: where to listen on 127.0.0.1; 0 chooses a free one.
        api_key: the account's key; made up where absent.
        limits: what the account and its sessions may use up.
        voice: ``espeak`` needs the extra ``voice``; ``auto`` takes it where it is installed.
        fps: pictures a second.
        llm: an OpenAI-compatible endpoint that answers TALK; from the environment (``HEYGEN_SIMULATOR_LLM_URL``,
            ``_KEY``, ``_MODEL``) where absent, and without one a few rules answer.
        stt: who understands what users say aloud; from the environment (``HEYGEN_SIMULATOR_STT_URL``, ``_KEY``,
            ``_MODEL``) where absent.
        hearing: when a user is taken to begin and to have finished speaking, and how long silence is borne.
        avatars: ids of avatars of your own that your code asks for, besides the public ones.
        voices: likewise, ids of voices.
        livekit_url: a LiveKit server in whose rooms to perform, ``ws://host:port``, instead of in rooms of its own;
            with ``livekit_api_key`` and ``livekit_api_secret`` of that server. What is planned to go wrong in a room
            (:class:`Fault`) needs its own rooms.

    Raises:
        ConfigurationError: a setting is out of range, or only a part of LiveKit's three is given.
        MissingExtraError: ``voice="espeak"`` without the extra ``voice``, or pocketsphinx without ``stt``.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        api_key: str | None = None,
        limits: Limits | None = None,
        voice: Literal["auto", "espeak", "formant"] = "auto",
        fps: int = 25,
        llm: BrainSettings | None = None,
        stt: RecogniserSettings | None = None,
        hearing: Hearing | None = None,
        avatars: Iterable[str] = (),
        voices: Iterable[str] = (),
        livekit_url: str | None = None,
        livekit_api_key: str | None = None,
        livekit_api_secret: str | None = None,
    ) -> None:
        if not 0 <= port <= 65_535:
            raise ConfigurationError(f"port must be from 0 to 65535, not {port}")
        if not 1 <= fps <= 60:
            raise ConfigurationError(f"fps must be from 1 to 60, not {fps}")
        self._api_key = api_key or secrets.token_hex(24)
        self._settings = _Settings(
            port=port,
            limits=limits or Limits(),
            voice=load_voice(voice),
            fps=fps,
            llm=BrainSettings.from_environment() if llm is None else llm,
            recogniser=load_recogniser(stt),
            hearing=hearing or Hearing(),
            catalog=Catalog(tuple(avatars), tuple(voices)),
            livekit=_livekit(livekit_url, livekit_api_key, livekit_api_secret),
        )
        self._sessions = Sessions(self._settings.limits)
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._faults: Faults | None = None
        self._port = 0

    def __repr__(self) -> str:
        return f"<Simulator {self.base_path if self._port else 'not started'}>"

    def __enter__(self) -> Simulator:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen. Returns when calls can be made.

        Raises:
            UsageError: it was started before: a simulator has one life.
            ConfigurationError: the port is in use.
        """
        if self._thread is not None:
            raise UsageError("this simulator was started before: make a new one")
        self._thread = threading.Thread(target=self._run, name="heygen-simulator", daemon=True)
        self._thread.start()
        if not self._ready.wait(_START_SECONDS):
            raise UsageError(f"the simulator did not start within {_START_SECONDS:g} s")
        if self._failure is not None:
            self._thread.join(_STOP_SECONDS)
            raise self._failure

    def stop(self) -> None:
        """End every session, close every socket, and end the thread. Idempotent; before start() it does nothing."""
        if self._thread is None:
            return
        if self._thread is threading.current_thread():
            raise UsageError("the simulator cannot wait for itself: call stop() on another thread")
        if self._loop is not None and self._stopping is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: it has been stopped
                self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(_STOP_SECONDS)
        if self._thread.is_alive():
            logger.error("the simulator's thread did not end within %g s", _STOP_SECONDS)

    @property
    def base_path(self) -> str:
        """``http://127.0.0.1:port``: what to give a client as its base URL.

        Raises:
            UsageError: it is not started yet.
        """
        if not self._port:
            raise UsageError("the simulator has no port yet: call start(), or use it in a with statement")
        return f"http://{HOST}:{self._port}"

    @property
    def api_key(self) -> str:
        """The account's API key."""
        return self._api_key

    @property
    def billed_seconds(self) -> int:
        """What all sessions together are billed, so far."""
        return self._sessions.billed_seconds

    def sessions(self) -> list[dict[str, Any]]:
        """Every session of the simulator's life, oldest first; the same as ``GET /simulator/sessions``."""
        return [session.record() for session in self._sessions.all()]

    def inject(self, plan: Plan) -> None:
        """Plan faults: a :class:`Fault`, a list of them, or their fields; the same as ``POST /simulator/faults``.

        Raises:
            InvalidRequestError: the plan makes no sense.
            UsageError: the simulator is not running.
        """
        faults = self._read_plan(plan)
        self._on_the_loop(lambda running: running.add(faults))

    def _read_plan(self, plan: Plan) -> list[Fault]:
        faults = read_plan(plan)
        beyond = {fault.kind for fault in faults if fault.kind in SESSION_KINDS}
        if beyond and self._settings.livekit is not None:
            raise InvalidRequestError(
                f"{', '.join(sorted(beyond))}: the rooms are a LiveKit server's, where only its own simulate_scenario "
                "makes anything go wrong"
            )
        return faults

    def clear_faults(self) -> None:
        """Nothing goes wrong any more; the same as ``DELETE /simulator/faults``."""
        self._on_the_loop(lambda running: running.clear())

    def fault_calls(self) -> list[dict[str, Any]]:
        """The faults in force with the calls each has seen and struck; the same as ``GET /simulator/faults``."""
        return self._on_the_loop(lambda running: running.record())

    def _on_the_loop(self, work: Callable[[Faults], Result]) -> Result:
        async def run(faults: Faults) -> Result:
            return work(faults)

        if self._faults is None or self._loop is None or self._loop.is_closed():
            raise UsageError("the simulator is not running")
        return asyncio.run_coroutine_threadsafe(run(self._faults), self._loop).result(_CALL_SECONDS)

    # The thread.

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            if self._ready.is_set():
                logger.exception("the simulator failed")
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._faults = Faults()
        sfu = Sfu(api_key="simulator", api_secret=secrets.token_hex(32))
        livekit = self._settings.livekit.open() if self._settings.livekit is not None else None
        account = Account(self._api_key, self._settings.limits.token_lifetime)
        accidents = Accidents(self._faults, self._sessions, sfu, account)
        application = self._application(account, sfu, livekit or sfu, self._faults)
        application.on_response_prepare.append(accidents.notice)
        runner = web.AppRunner(application, access_log=None, logger=server_logger, shutdown_timeout=_HANDLER_SECONDS)
        await runner.setup()
        try:
            self._port = await _listen(runner, self._settings.port)
            sfu.base_url = f"ws://{HOST}:{self._port}"
            self._ready.set()
            await self._stopping.wait()
        finally:
            # Calls that hang by plan must not make us wait; nobody may open a session while the last ones end.
            self._faults.clear()
            await accidents.close()
            await _stop_listening(runner)
            await self._sessions.end_all(EndReason.SIMULATOR_STOPPED)
            await self._settings.recogniser.close()
            await sfu.close()
            if livekit is not None:
                await livekit.close()
            await runner.cleanup()

    def _application(self, account: Account, sfu: Sfu, rooms: Rooms, faults: Faults) -> web.Application:
        settings = self._settings
        studio = Studio(
            account=account,
            catalog=settings.catalog,
            limits=settings.limits,
            sessions=self._sessions,
            sfu=sfu,
            rooms=rooms,
            faults=faults,
            voice=settings.voice,
            fps=settings.fps,
            llm=settings.llm,
            hearing=settings.hearing,
            recogniser=settings.recogniser,
        )
        application = web.Application(middlewares=[answer_in_json, faults.middleware()])
        application.on_response_prepare.append(allow_browsers)
        application.add_routes(
            [
                *StreamingV1(studio).routes(),
                *LiveAvatar(studio).routes(),
                *Management(account, settings.catalog, self._sessions).routes(),
                *sfu.routes(),
                *_Administration(self._sessions, faults, self._read_plan).routes(),
            ]
        )
        return application


@frozen(kw_only=True)
class _Settings:
    port: int
    limits: Limits
    voice: Voice
    fps: int
    llm: BrainSettings
    recogniser: Recogniser
    hearing: Hearing
    catalog: Catalog
    livekit: _LiveKit | None


@frozen(kw_only=True)
class _LiveKit:
    """A LiveKit server that is not ours, and the key to it."""

    url: str
    api_key: str
    api_secret: str = field(repr=False)

    def open(self) -> LiveKitRooms:
        return LiveKitRooms(self.url, api_key=self.api_key, api_secret=self.api_secret)


def _livekit(url: str | None, api_key: str | None, api_secret: str | None) -> _LiveKit | None:
    if not (url or api_key or api_secret):
        return None
    if not (url and api_key and api_secret):
        raise ConfigurationError(
            "a LiveKit server needs livekit_url, livekit_api_key and livekit_api_secret, all three"
        )
    if not url.startswith(("ws://", "wss://")):
        raise ConfigurationError(f"livekit_url must be like ws://127.0.0.1:7880, not {url!r}")
    return _LiveKit(url=url, api_key=api_key, api_secret=api_secret)


class _Administration:
    """The simulator's own paths, for tests outside its process. They need no key and never fail by plan."""

    def __init__(self, sessions: Sessions, faults: Faults, read_plan: Callable[[Any], list[Fault]]) -> None:
        self._sessions = sessions
        self._faults = faults
        self._read_plan = read_plan

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(DESCRIPTION_PATH, self._describe),
            web.get("/simulator/sessions", self._list_sessions),
            web.get("/simulator/faults", self._list_faults),
            web.post("/simulator/faults", self._add_faults),
            web.delete("/simulator/faults", self._clear_faults),
        ]

    async def _describe(self, request: web.Request) -> web.Response:
        return web.json_response(describe(request.app.router))

    async def _list_sessions(self, request: web.Request) -> web.Response:
        return web.json_response([session.record() for session in self._sessions.all()])

    async def _list_faults(self, request: web.Request) -> web.Response:
        return web.json_response(self._faults.record())

    async def _add_faults(self, request: web.Request) -> web.Response:
        try:
            faults = self._read_plan(await read_json(request))
        except InvalidRequestError as error:
            raise Refusal(400, INVALID_PARAMETER, str(error)) from None
        self._faults.add(faults)
        return web.json_response(self._faults.record())

    async def _clear_faults(self, request: web.Request) -> web.Response:
        self._faults.clear()
        return web.json_response([])


async def _listen(runner: web.AppRunner, port: int) -> int:
    try:
        await web.TCPSite(runner, HOST, port).start()
    except OSError as error:
        raise ConfigurationError(
            f"port {port} of {HOST} cannot be used ({error.strerror}): choose another, or 0 for a free one"
        ) from error
    return int(runner.addresses[0][1])


async def _stop_listening(runner: web.AppRunner) -> None:
    for site in list(runner.sites):
        await site.stop()


_START_SECONDS = 15.0
_STOP_SECONDS = 20.0
_CALL_SECONDS = 5.0
_HANDLER_SECONDS = 1.0  # how long a call that is being answered may take to end when the simulator stops
