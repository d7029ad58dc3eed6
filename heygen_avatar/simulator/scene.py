"""One session's room with the avatar in it: the entrance, the packets in their order, the exit.

It stands between what a service makes of a session and what every service needs: a :class:`Stage`, a
:class:`Performer` on it, and one queue for all that is told to the room. It knows no wire format.
"""

from __future__ import annotations

import asyncio
import logging

from attrs import frozen

from heygen_avatar.simulator.brain import Brain
from heygen_avatar.simulator.performer import Performer, PerformerListener
from heygen_avatar.simulator.sessions import Session
from heygen_avatar.simulator.stage import AVATAR_IDENTITY, Stage, VideoFormat
from heygen_avatar.simulator.voice import Delivery, Voice

logger = logging.getLogger(__name__)


@frozen(kw_only=True)
class Part:
    """What the avatar of a session is made of. Without a brain it answers nothing."""

    video: VideoFormat
    voice: Voice
    brain: Brain | None
    delivery: Delivery


class Scene:
    """The room of one session, from the avatar's entrance to its exit."""

    def __init__(self, session: Session, stage: Stage, part: Part, listener: PerformerListener) -> None:
        self.stage = stage
        self.performer = Performer(
            stage,
            listener,
            video=part.video,
            voice=part.voice,
            brain=part.brain,
            caption=session.id,
            delivery=part.delivery,
        )
        self._session = session
        self._entering: asyncio.Task[None] | None = None
        self._outbox: asyncio.Queue[tuple[bytes, str, str]] = asyncio.Queue()
        self._postman = asyncio.create_task(self._deliver_forever(), name=f"events of session {session.id}")

    async def enter(self) -> None:
        """Bring the avatar into the room."""
        # A task of its own, so that a session that ends meanwhile can wait for it: half an entry cannot be undone.
        self._entering = asyncio.create_task(self.performer.start(), name=f"start of session {self._session.id}")
        await asyncio.shield(self._entering)

    def tell(self, packet: bytes, *, topic: str = "", sender: str = AVATAR_IDENTITY) -> None:
        """Send a packet to the room, after those before it."""
        self._outbox.put_nowait((packet, topic, sender))

    async def leave(self) -> None:
        """Take the avatar out of the room, once all that was told has been sent."""
        if self._entering is not None:
            await asyncio.wait([self._entering])
        await self.performer.close()
        # The last events belong before the room's end, and a client that is there gets them.
        await self._outbox.join()
        self._postman.cancel()
        await asyncio.gather(self._postman, return_exceptions=True)

    async def _deliver_forever(self) -> None:
        """One task sends everything, so that its order is kept."""
        while True:
            packet, topic, sender = await self._outbox.get()
            try:
                await self.stage.send_data(packet, topic=topic, sender=sender)
            except Exception:
                logger.exception("session %s: an event was not sent", self._session.id)
            finally:
                self._outbox.task_done()
