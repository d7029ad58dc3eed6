"""From a packet that LiveKit has heard to the user's handler, against a bare queue between two threads.

Both sides get the packet from the same place: a room's ``data_received``, emitted on the loop as livekit does. The one
is a started session with a handler, which reads JSON, keeps the transcript and wakes waiters on its way; the other is
what a script would do at least: put it into a ``queue.SimpleQueue``, and take it out in a thread that waits there; as
it is, or as JSON that was read and goes to the handlers of its type.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.child import apart
from benchmarks.measure import Row, simulator, turns

RATES = (10, 5_000)
"""Packets a second."""

HOP, READING_HOP = "a bare queue hop", "JSON read, a queue hop, a dict of handlers"


def rows(*, quick: bool) -> list[Row]:
    rounds = 2 if quick else 9
    result = []
    with simulator() as address:
        for rate in RATES:
            count = min(5 * rate, 30) if rate < 100 else rate // (4 if quick else 1)
            pace = {"rate": rate, "count": count}
            for against, reads, goal in ((HOP, False, 1.2), (READING_HOP, True, None)):
                ours, theirs = turns(
                    rounds,
                    lambda: apart(hear_ours, **pace, **address.settings()),  # noqa: B023
                    lambda: apart(hear_plain, reads=reads, **pace),  # noqa: B023
                )
                result += [
                    Row(
                        what=f"packet to handler, {rate:,} a second, {name}",
                        unit="µs",
                        ours=[run[at] for run in ours],
                        theirs=[run[at] for run in theirs],
                        against=against,
                        goal=goal if at == 0 else None,
                    )
                    for at, name in enumerate(("p50", "p99"))
                ]
    return result


def hear_ours(base_path: str, api_key: str, rate: int, count: int) -> list[float]:
    """Microseconds from packet to handler, median and 99th percentile."""
    from livekit import rtc

    rooms: list[rtc.Room] = []
    make = rtc.Room.__init__

    def noted(room: rtc.Room, *args: Any, **options: Any) -> None:
        make(room, *args, **options)
        rooms.append(room)

    rtc.Room.__init__ = noted  # type: ignore[assignment, method-assign]

    from heygen_avatar import StreamingAvatar, StreamingEvents

    with StreamingAvatar(api_key=api_key, base_path=base_path) as avatar:
        avatar.create_start_avatar(quality="low")
        heard = _Heard(count)
        avatar.on(StreamingEvents.AVATAR_TALKING_MESSAGE, heard.note)
        _pace(rooms[0], rate, count, heard)
    return heard.microseconds()


def hear_plain(rate: int, count: int, reads: bool) -> list[float]:
    """The same from packet to queue to handler."""
    import asyncio
    import queue

    from livekit import rtc

    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    async def make() -> rtc.Room:
        return rtc.Room()

    room = asyncio.run_coroutine_threadsafe(make(), loop).result()
    heard = _Heard(count)
    packets: queue.SimpleQueue[Any] = queue.SimpleQueue()
    handlers = {"avatar_talking_message": [heard.note]}

    def pass_on(packet: rtc.DataPacket) -> None:  # livekit inspects a builtin's signature at great expense, each time
        packets.put(packet)

    def read_and_pass_on(packet: rtc.DataPacket) -> None:
        packets.put(json.loads(packet.data))

    def handle_forever() -> None:
        while True:
            heard.note(packets.get())

    def choose_forever() -> None:
        while True:
            event = packets.get()
            for handler in handlers.get(event["type"], ()):
                handler(event)

    room.on("data_received", read_and_pass_on if reads else pass_on)
    threading.Thread(target=choose_forever if reads else handle_forever, daemon=True).start()
    _pace(room, rate, count, heard)
    return heard.microseconds()


class _Heard:
    """When packets were heard, and when the handler had them."""

    def __init__(self, count: int) -> None:
        self.sent: list[float] = []
        self.handled: list[float] = []
        self.all = threading.Event()
        self._count = count

    def note(self, _: object) -> None:
        self.handled.append(time.perf_counter())
        if len(self.handled) == self._count:
            self.all.set()

    def microseconds(self) -> list[float]:
        if not self.all.wait(30):
            raise RuntimeError(f"{len(self.handled)} of {self._count} packets reached the handler")
        taken = sorted(1e6 * (after - before) for before, after in zip(self.sent, self.handled, strict=True))
        return [taken[len(taken) // 2], taken[len(taken) * 99 // 100]]


def _pace(room: Any, rate: int, count: int, heard: _Heard) -> None:
    """Emit packets on the room's loop, so many a second, as livekit's native threads cause it to: from outside."""
    from livekit import rtc

    # The room's own loop: livekit offers no other way to where it emits.
    loop = room._loop
    packets = [
        rtc.DataPacket(data=_message(number), kind=rtc.DataPacketKind.KIND_RELIABLE, participant=None, topic="")
        for number in range(count)
    ]

    def emit(packet: rtc.DataPacket) -> None:
        heard.sent.append(time.perf_counter())
        room.emit("data_received", packet)

    _every(1 / rate, packets, lambda packet: loop.call_soon_threadsafe(emit, packet))
    heard.all.wait(30)


def _every(seconds: float, items: list[Any], do: Callable[[Any], object]) -> None:
    due = time.perf_counter()
    for item in items:
        do(item)
        due += seconds
        if (left := due - time.perf_counter()) > 0:
            time.sleep(left)


def _message(number: int) -> bytes:
    return json.dumps({"type": "avatar_talking_message", "task_id": "t", "message": f"word{number} "}).encode()
