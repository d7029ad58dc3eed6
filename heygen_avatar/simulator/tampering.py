"""What may happen to a room's data packets on their way, by plan. Usually nothing does."""

from __future__ import annotations

from typing import Literal

from livekit.protocol import models

Manner = Literal["", "twice", "swapped", "withheld"]
"""Each packet comes two times; two and two change places; none comes."""


class Tampering:
    """What becomes of one room's packets, in the order in which the cast sends them."""

    def __init__(self) -> None:
        self.manner: Manner = ""
        self._held: models.DataPacket | None = None

    def of(self, packet: models.DataPacket) -> list[models.DataPacket]:
        """What is sent now, where this packet was to be."""
        if self.manner == "withheld":
            return []
        if self.manner == "twice":
            return [packet, packet]
        held, self._held = self._held, None
        if self.manner == "swapped" and held is None:
            self._held = packet
            return []
        return [packet] if held is None else [packet, held]
