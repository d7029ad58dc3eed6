"""What every session of a simulator is made with, whichever service it belongs to."""

from __future__ import annotations

from attrs import frozen

from heygen_avatar.simulator.accounts import Account
from heygen_avatar.simulator.brain import BrainSettings
from heygen_avatar.simulator.catalog import Catalog
from heygen_avatar.simulator.faults import Faults
from heygen_avatar.simulator.limits import Limits
from heygen_avatar.simulator.listener import Hearing
from heygen_avatar.simulator.recogniser import Recogniser
from heygen_avatar.simulator.sessions import Sessions
from heygen_avatar.simulator.sfu import Sfu
from heygen_avatar.simulator.stage import Rooms
from heygen_avatar.simulator.voice import Voice


@frozen(kw_only=True)
class Studio:
    """The simulator's equipment."""

    account: Account
    catalog: Catalog
    limits: Limits
    sessions: Sessions
    sfu: Sfu
    rooms: Rooms
    faults: Faults
    voice: Voice
    fps: int
    llm: BrainSettings
    hearing: Hearing
    recogniser: Recogniser
