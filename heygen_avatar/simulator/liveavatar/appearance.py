"""One LiveAvatar session from the avatar's entrance to its end, as far as FULL and LITE have it in common.

Who is in the room, which limit strikes, what order things end in. What is said, and over which wire, is for
``full.py`` and ``lite.py``.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import define, field
from numpy.typing import NDArray

from heygen_avatar.simulator.liveavatar.orders import Order
from heygen_avatar.simulator.liveavatar.transcript import Transcript
from heygen_avatar.simulator.performer import PerformerListener
from heygen_avatar.simulator.scene import Scene
from heygen_avatar.simulator.sessions import EndReason, Session, Sessions
from heygen_avatar.simulator.stage import Stage, StageListener

logger = logging.getLogger(__name__)

CLIENT_IDENTITY = "client"
"""The user's participant."""

BACKEND_IDENTITY = "agent"
"""The participant of the user's own agent in LITE mode, whose token is ``livekit_agent_token``."""

END_REASONS = {
    EndReason.IDLE: "IDLE_TIMEOUT",
    EndReason.NO_CLIENT: "IDLE_TIMEOUT",
    EndReason.ABANDONED: "ZOMBIE_SESSION_REAP",
    EndReason.DURATION: "MAX_DURATION_REACHED",
    EndReason.NO_CREDITS: "NO_CREDITS",
    EndReason.AVATAR_DELETED: "AVATAR_DELETED",
    EndReason.HUNG_UP: "AGENT_HANG_UP",
    EndReason.FAILED: "SERVER_ERROR",
    EndReason.SIMULATOR_STOPPED: "SERVER_ERROR",
}


@define(kw_only=True, eq=False)
class Engagement:
    """A session that was started, with what it was ordered as and what was said in it. Outlives its appearance."""

    order: Order
    session: Session
    stop_reason: str = "UNKNOWN"
    """Why the client stopped it, if it did."""
    transcript: Transcript = field(factory=Transcript)

    @property
    def end_reason(self) -> str | None:
        """In the words of LiveAvatar's SessionEndReason."""
        reason = self.session.end_reason
        return None if reason is None else END_REASONS.get(reason, self.stop_reason)


class Appearance(StageListener, PerformerListener):
    """What FULL and LITE share. Everything here runs on the simulator's event loop."""

    def __init__(self, engagement: Engagement, open_stage: Callable[[StageListener], Stage]) -> None:
        self.engagement = engagement
        self.session = engagement.session
        self.order = engagement.order
        self.stage = open_stage(self)
        self.scene = Scene(self.session, self.stage, self.order.part, self)
        self.performer = self.scene.performer
        self.fell_silent = False
        self._entrance: asyncio.Task[None] | None = None
        for closer in (self._say_goodbye, self.scene.leave, self.stage.close):
            self.session.close_with(closer)

    def begin(self) -> None:
        """Let the avatar enter the room; clients see it come."""
        self.session.begin()
        self._entrance = asyncio.create_task(self._enter(), name=f"entrance of session {self.session.id}")

    async def _enter(self) -> None:
        try:
            await self.scene.enter()
            await self.enter_agent()
        except Exception:
            logger.exception("session %s: the avatar could not enter", self.session.id)
            self.session.refund()
            self.session.end_soon(EndReason.FAILED)
            return
        if self.session.is_open:
            self.session.avatar_entered()
            self.on_entered()

    async def enter_agent(self) -> None:
        """Bring in who else belongs to the cast."""

    def on_entered(self) -> None:
        """The avatar is heard and seen."""

    def say_goodbye(self) -> None:
        """Tell the client that the session is over. The room is still there."""

    async def _say_goodbye(self) -> None:
        if self._entrance is not None:
            # Half an entrance cannot be undone.
            await asyncio.wait([self._entrance])
        self.performer.interrupt()
        self.say_goodbye()

    def fall_silent_after(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self.fall_silent)

    def fall_silent(self) -> None:
        """What the service was seen to do at the longest duration: no word, no close, no speech (liveavatar §2)."""
        self.fell_silent = True
        self.performer.interrupt()

    def tell_room(self, topic: str, sender: str, message: dict[str, Any]) -> None:
        self.scene.tell(json.dumps(message).encode(), topic=topic, sender=sender)

    def watch(self, line: asyncio.Future[Any]) -> None:
        """While there is something to say, the session is not idle."""
        self.session.set_busy(True)
        line.add_done_callback(lambda _: self.session.set_busy(self.performer.busy))

    # What happens in the room (StageListener).

    def on_joined(self, identity: str) -> None:
        self.session.visitor_came()
        if self.is_user(identity):
            self.session.client_joined()
            self.on_user_joined()

    def on_left(self, identity: str) -> None:
        self.session.visitor_went()
        if self.is_user(identity):
            self.session.client_left()

    def is_user(self, identity: str) -> bool:
        # In a room of the client's own nobody but them knows who is who.
        return identity == CLIENT_IDENTITY or self.order.room is not None

    def on_user_joined(self) -> None:
        """The user is there and hears data packets."""

    def on_data(self, identity: str, payload: bytes, topic: str) -> None:
        """Commands come this way in FULL only."""

    def on_microphone(self, identity: str, samples: NDArray[np.int16]) -> None:
        """A sound that is not silence counts as activity."""
        if samples.size and int(np.abs(samples.astype(np.int32)).max()) > _SILENCE:
            self.session.touch()

    def on_microphone_muted(self, identity: str, muted: bool) -> None:
        """Nothing is done about it: a muted microphone is silent."""


def watch_credits(sessions: Sessions, session: Session) -> None:
    """End the session when the account cannot pay for the time that begins (liveavatar §7)."""
    loop = asyncio.get_running_loop()

    def look() -> None:
        if not session.is_open:
            return
        if sessions.is_overdrawn(session.terms.service):
            session.end_soon(EndReason.NO_CREDITS)
            return
        loop.call_later(session.terms.billed_by, look)

    loop.call_later(session.terms.billed_by + _MARGIN, look)


def new_event_id() -> str:
    return str(uuid.uuid4())


_SILENCE = 328  # 1 % of full scale: breath and hum of an open microphone stay below
_MARGIN = 0.01  # the time that is to be paid for has begun
