"""HeyGen's streaming v1 over HTTP: the calls that make, drive, end and list sessions, and the chat socket's door.

The specification is the published behaviour of ``/v1/streaming.*``; where it is silent, the comment says what was
chosen. Every call reads its request, asks a session or its dialogue, and wraps the answer; nothing is decided here
that outlives a call.
"""

from __future__ import annotations

import asyncio
import base64
import datetime
import logging
import re
from collections.abc import Mapping
from typing import Any, Literal, cast

from aiohttp import web
from attrs import frozen

from heygen_avatar.models import Service, VoiceEmotion
from heygen_avatar.simulator.accounts import Token, unauthorized
from heygen_avatar.simulator.brain import load_brain
from heygen_avatar.simulator.catalog import DEFAULT_AVATAR, Catalog
from heygen_avatar.simulator.chat import ChatSocket
from heygen_avatar.simulator.dialogue import AGENT_IDENTITY, CLIENT_IDENTITY, ChatTerms, Dialogue, TalkingPart
from heygen_avatar.simulator.limits import Limits
from heygen_avatar.simulator.replies import (
    INVALID_PARAMETER,
    Fields,
    Refusal,
    plain_success,
    read_fields,
    success,
)
from heygen_avatar.simulator.sessions import EndReason, Session, State, Terms
from heygen_avatar.simulator.sound import SoundSocket
from heygen_avatar.simulator.stage import VideoFormat
from heygen_avatar.simulator.studio import Studio
from heygen_avatar.simulator.voice import Delivery
from heygen_avatar.simulator.voice_chat import Ears

logger = logging.getLogger(__name__)

SERVICE = Service.HEYGEN.value

_SOUND_PATH = "/v2-alpha/interactive-avatar/session"


class StreamingV1:
    """The service's session calls."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._dialogues: dict[str, Dialogue] = {}

    def routes(self) -> list[web.RouteDef]:
        calls = {"new": self._new, "start": self._start, "task": self._task, "stop": self._stop}
        more = {
            "interrupt": self._interrupt,
            "keep_alive": self._keep_alive,
            "start_listening": self._start_listening,
            "stop_listening": self._stop_listening,
        }
        return [
            web.post("/v1/streaming.create_token", self._create_token),
            *(web.post(f"/v1/streaming.{name}", call) for name, call in {**calls, **more}.items()),
            # The calls' names of 2023, which HeyGen's iOS app still used in 2025 (heygen-streaming-v1 §1.13).
            *(web.post(f"/v1/realtime.{name}", call) for name, call in calls.items()),
            web.get("/v1/streaming.list", self._list_active),
            web.get("/v2/streaming.list", self._list_history),
            web.get("/v1/ws/streaming.chat", self._chat),
            web.get(f"{_SOUND_PATH}/{{session_id}}", self._sound),
        ]

    # Making a session.

    async def _create_token(self, request: web.Request) -> web.Response:
        studio = self._studio
        studio.account.check_key(request.headers)
        session_id = (await read_fields(request)).text("session_id")
        if session_id:
            # HeyGen's iOS app makes its token after the session (heygen-streaming-v1 §1.1).
            self._open_session(session_id)
        return plain_success({"token": studio.account.new_token(session_id)})

    async def _new(self, request: web.Request) -> web.Response:
        token = self._studio.account.check_key_or_token(request.headers)
        if token is not None and token.session_id:
            raise unauthorized()  # one `new` per token
        fields = await read_fields(request)
        session, stage = self._open(
            fields, token, silent_end=self._studio.faults.take("silent_end", request) is not None
        )
        return success(
            {
                "session_id": session.id,
                "sdp": None,
                "access_token": stage.token(CLIENT_IDENTITY),
                "url": stage.url,
                "ice_servers": None,
                "ice_servers2": None,
                "is_paid": True,
                "session_duration_limit": _whole(session.terms.duration),
                # The session's id is all that opens it, as with the real one.
                "realtime_endpoint": f"{stage.url}{_SOUND_PATH}/{session.id}",
                "livekit_agent_token": stage.token(AGENT_IDENTITY),
            }
        )

    def _open(self, fields: Fields, token: Token | None, *, silent_end: bool) -> tuple[Session, Any]:
        studio = self._studio
        wanted = _read_new(fields, studio)
        if studio.sessions.credits_left(SERVICE) <= 0:
            raise Refusal(400, 10015, "Trial API limit reached")
        if studio.sessions.is_full(SERVICE):
            raise Refusal(400, 10007, _CONCURRENT_LIMIT)
        details = {**wanted.details, "api_key_type": "api_key" if token is None else "session_token"}
        session = studio.sessions.open(
            Terms(
                service=SERVICE,
                duration=studio.limits.session_duration,
                idle_timeout=wanted.idle_timeout,
                no_client_timeout=studio.limits.no_client_timeout,
                billed_at_least=studio.limits.billed_at_least,
                credits_per_minute=studio.limits.credits_per_minute,
                details=details,
            )
        )
        dialogue = self._dialogues[session.id] = Dialogue(session, wanted.part, studio.rooms, silent_end=silent_end)
        session.close_with(self._forgetting(session.id))
        if token is not None:
            token.session_id = session.id
        return session, dialogue.stage

    def _forgetting(self, session_id: str) -> Any:
        async def forget() -> None:
            del self._dialogues[session_id]

        return forget

    async def _start(self, request: web.Request) -> web.Response:
        dialogue, _ = await self._driven(request)
        session = dialogue.session
        if session.state is not State.NEW:
            raise wrong_state(session.state)
        if session.terms.details["version"] != "v2":
            # As seen by users who left the version out (heygen-streaming-v1 §1b).
            raise Refusal(400, 400006, "Invalid params", details='only sessions of version "v2" are simulated')
        try:
            await dialogue.start()
        except Exception:
            await session.end(EndReason.FAILED)
            raise
        if not session.is_open:
            raise wrong_state(State.CLOSED)
        return success(status="success")

    # Driving a session.

    async def _task(self, request: web.Request) -> web.Response:
        dialogue, fields = await self._driven(request)
        text = fields.needed("text")
        longest = self._studio.limits.text_length
        if len(text) > longest:
            raise Refusal(
                400,
                INVALID_PARAMETER,
                f"invalid parameter: text must have at most {longest} characters, not {len(text)}",
            )
        # Absent fields: repeat and sync, as the service's own OpenAPI description says (heygen-streaming-v1 §1.4).
        task_type = fields.choice("task_type", ("repeat", "talk", "chat"), "repeat")
        task_mode = fields.choice("task_mode", ("sync", "async"), "sync")
        if not dialogue.session.is_talkable:
            raise Refusal(400, 400006, "Session is not in correct state")
        task = dialogue.repeat(text) if task_type == "repeat" else dialogue.talk(text)
        if task_mode == "async":
            return success({"duration_ms": task.expected_ms, "task_id": task.task_id})
        spoken = await asyncio.shield(task.spoken)
        if not dialogue.session.is_open:
            raise wrong_state(State.CLOSED)
        return success({"duration_ms": spoken.duration_ms, "task_id": task.task_id})

    async def _interrupt(self, request: web.Request) -> web.Response:
        dialogue, _ = await self._started(request)
        dialogue.interrupt()
        dialogue.session.touch()
        return success()

    async def _keep_alive(self, request: web.Request) -> web.Response:
        dialogue, _ = await self._driven(request)
        dialogue.session.touch()
        return success()

    async def _start_listening(self, request: web.Request) -> web.Response:
        dialogue, _ = await self._started(request)
        dialogue.set_listening(True)
        return success()

    async def _stop_listening(self, request: web.Request) -> web.Response:
        dialogue, _ = await self._started(request)
        dialogue.set_listening(False)
        return success()

    async def _stop(self, request: web.Request) -> web.Response:
        dialogue, _ = await self._driven(request)
        await dialogue.session.end(EndReason.STOPPED)
        return success(status="success")

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        token = self._studio.account.check_token(request.query.get("session_token", ""))
        dialogue = self._drivable(request.query.get("session_id", ""), token)
        if dialogue.session.state is State.NEW:
            raise wrong_state(State.NEW)
        return await dialogue.converse(ChatSocket(dialogue), request, self._read_chat(request.query))

    def _read_chat(self, query: Mapping[str, str]) -> ChatTerms:
        return ChatTerms(
            opening_text=query.get("opening_text", "")[: self._studio.limits.text_length],
            push_to_talk=query.get("push_to_talk") == "true",
            silence_prompts=query.get("silence_response") == "true",
        )

    async def _sound(self, request: web.Request) -> web.StreamResponse:
        dialogue = self._drivable(request.match_info["session_id"], None)
        if dialogue.session.state is State.NEW:
            raise wrong_state(State.NEW)
        return await dialogue.serve(SoundSocket(dialogue), request)

    async def _driven(self, request: web.Request) -> tuple[Dialogue, Fields]:
        """The open session that the caller names and may drive."""
        token = self._studio.account.check_key_or_token(request.headers)
        fields = await read_fields(request)
        return self._drivable(fields.needed("session_id"), token), fields

    async def _started(self, request: web.Request) -> tuple[Dialogue, Fields]:
        dialogue, fields = await self._driven(request)
        if dialogue.session.state is State.NEW:
            raise wrong_state(State.NEW)
        return dialogue, fields

    def _drivable(self, session_id: str, token: Token | None) -> Dialogue:
        # A token that belongs to no session yet may drive any of the account's: nothing published speaks against it.
        if token is not None and token.session_id not in ("", session_id):
            raise unauthorized()
        return self._dialogues[self._open_session(session_id).id]

    def _open_session(self, session_id: str) -> Session:
        session = self._studio.sessions.find(session_id)
        if session is None or session.terms.service != SERVICE:
            raise Refusal(400, 10006, "Session not found")
        if not session.is_open:
            raise wrong_state(session.state)
        return session

    # Listing sessions.

    async def _list_active(self, request: web.Request) -> web.Response:
        self._studio.account.check_key(request.headers)
        sessions = [_summary(session) for session in self._studio.sessions.of(SERVICE) if session.is_open]
        return success({"sessions": sessions})

    async def _list_history(self, request: web.Request) -> web.Response:
        self._studio.account.check_key(request.headers)
        page, page_size, chosen = _read_history(request.query, self._studio.sessions.of(SERVICE))
        rows = chosen[(page - 1) * page_size : page * page_size]
        more = page * page_size < len(chosen)
        return web.json_response(
            {
                "total": len(chosen),
                "page": page,
                "page_size": page_size,
                "next_pagination_token": _page_token(page + 1) if more else None,
                "data": [_history_row(session) for session in rows],
            }
        )


def wrong_state(state: State) -> Refusal:
    """The refusal for a session whose state is wrong for the call (heygen-streaming-v1 §1b)."""
    return Refusal(400, _STATE_CODES[state], f"session state wrong: {state.value}")


_CONCURRENT_LIMIT = (
    "Concurrent limit reached, please make sure you have closed other testing sessions under the same account"
)
_STATE_CODES = {
    State.NEW: 10001,
    State.CONNECTING: 10002,
    State.CONNECTED: 10003,
    State.CLOSING: 10004,
    State.CLOSED: 10005,
}

# Reading `new`.

QUALITIES = {"high": (1280, 720, 2_000_000), "medium": (854, 480, 1_000_000), "low": (640, 360, 500_000)}
EMOTIONS = frozenset(emotion.value for emotion in VoiceEmotion)
LANGUAGE = re.compile(r"[a-z]{2,3}")


@frozen(kw_only=True)
class _Wanted:
    """What the fields of `new` ask for."""

    part: TalkingPart
    idle_timeout: float
    details: Mapping[str, Any]


def _read_new(fields: Fields, studio: Studio) -> _Wanted:
    version = fields.choice("version", ("v1", "v2"), "v1")
    if "livekit_settings" in fields:
        raise Refusal(
            400, INVALID_PARAMETER, "invalid parameter: livekit_settings: this simulator has its own rooms only"
        )
    avatar_id, avatar_name = fields.text("avatar_id"), fields.text("avatar_name")
    avatar = studio.catalog.avatar(avatar_id or avatar_name or DEFAULT_AVATAR)
    voice = fields.inner("voice")
    catalog_voice = studio.catalog.voice(voice.text("voice_id") or avatar.default_voice)
    _check_recognition(fields.inner("stt_settings"))
    delivery = _read_delivery(fields, voice, catalog_voice.voice_id)
    part = TalkingPart(
        video=_read_video(fields, studio.fps),
        voice=studio.voice,
        brain=load_brain(_read_knowledge(fields, studio.catalog), studio.llm),
        delivery=delivery,
        ears=Ears(
            hearing=studio.hearing,
            recogniser=studio.recogniser,
            transport="livekit" if fields.flag("ia_is_livekit_transport") else "websocket",
            language=delivery.language,
            silence_prompts=fields.flag("silence_response"),
        ),
        text_length=studio.limits.text_length,
    )
    details = {"avatar_id": avatar.avatar_id, "voice_name": catalog_voice.name, "version": version}
    return _Wanted(part=part, idle_timeout=_read_idle_timeout(fields, studio.limits), details=details)


def _read_video(fields: Fields, fps: int) -> VideoFormat:
    width, height, bitrate = QUALITIES[fields.choice("quality", QUALITIES, "medium")]
    codec = cast(Literal["H264", "VP8"], fields.choice("video_encoding", ("H264", "VP8"), "VP8"))
    return VideoFormat(width=width, height=height, bitrate=bitrate, fps=fps, codec=codec)


def _read_delivery(fields: Fields, voice: Fields, voice_id: str) -> Delivery:
    emotion = voice.text("emotion").lower()
    if emotion and emotion not in EMOTIONS:
        voice.choice("emotion", EMOTIONS, "")
    language = fields.text("language") or "en"
    if not LANGUAGE.fullmatch(language):
        raise Refusal(
            400, INVALID_PARAMETER, "invalid parameter: language must be a basic code such as en, without locale"
        )
    settings = voice.inner("elevenlabs_settings")
    for name in ("stability", "similarity_boost", "style"):
        settings.number(name, 0, 1)
    settings.flag("use_speaker_boost")
    rate = voice.number("rate", 0.5, 1.5)
    return Delivery(rate=1.0 if rate is None else rate, emotion=emotion, voice_id=voice_id, language=language)


def _read_knowledge(fields: Fields, catalog: Catalog) -> str:
    prompt, knowledge_id = fields.text("knowledge_base"), fields.text("knowledge_base_id")
    if not knowledge_id:
        return prompt
    stored = catalog.knowledge_base(knowledge_id)
    if stored is None:
        raise Refusal(400, INVALID_PARAMETER, "invalid parameter: knowledge_base_id is not one of this account's")
    return "\n".join(filter(None, (stored.prompt, prompt)))


def _read_idle_timeout(fields: Fields, limits: Limits) -> float:
    # 3600 is taken, though one page reads as if only less were allowed (heygen-streaming-v1 §8.7).
    wanted = fields.whole("activity_idle_timeout", 30, 3600)
    if fields.flag("disable_idle_timeout"):
        return float("inf")
    return limits.idle_timeout if wanted is None else float(wanted)


def _check_recognition(settings: Fields) -> None:
    settings.choice("provider", ("deepgram", "gladia"), "deepgram")
    settings.number("confidence", 0, 1)


# Writing the lists.


def _summary(session: Session) -> dict[str, Any]:
    return {"session_id": session.id, "status": session.state.value, "created_at": int(session.created_at)}


def _history_row(session: Session) -> dict[str, Any]:
    details = {name: session.terms.details[name] for name in ("api_key_type", "avatar_id", "voice_name")}
    return {**_summary(session), **details, "duration": round(session.seconds)}


def _read_history(query: Mapping[str, str], sessions: list[Session]) -> tuple[int, int, list[Session]]:
    """The page, its size, and the sessions that the query chooses, the newest first."""
    page = _page_of(query["token"]) if query.get("token") else _query_number(query, "page", 1)
    page_size = _query_number(query, "page_size", 10)
    begin, end = _query_time(query, "date_from"), _query_time(query, "date_to")
    status = query.get("status", "")
    chosen = [
        session
        for session in reversed(sessions)
        if (not status or session.state.value == status)
        and (begin is None or session.created_at >= begin)
        and (end is None or session.created_at <= end)
    ]
    return page, page_size, chosen


def _query_number(query: Mapping[str, str], name: str, default: int) -> int:
    given = query.get(name, str(default))
    if not re.fullmatch(r"[1-9]\d{0,5}", given, re.ASCII):
        raise Refusal(400, INVALID_PARAMETER, f"invalid query parameter: {name}")
    return int(given)


def _query_time(query: Mapping[str, str], name: str) -> float | None:
    if not query.get(name):
        return None
    try:
        moment = datetime.datetime.strptime(query[name], "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        raise Refusal(400, INVALID_PARAMETER, f"invalid query parameter: {name}") from None
    return moment.replace(tzinfo=datetime.timezone.utc).timestamp()


def _page_token(page: int) -> str:
    return base64.urlsafe_b64encode(f"page {page}".encode()).decode()


def _page_of(token: str) -> int:
    try:
        page = base64.urlsafe_b64decode(token.encode()).decode().removeprefix("page ")
    except ValueError:
        page = ""
    return _query_number({"token": page}, "token", 1)


def _whole(seconds: float) -> int | float:
    """The number as the service writes it: without a fraction where it has none."""
    return int(seconds) if seconds == int(seconds) else seconds
