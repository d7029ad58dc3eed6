"""What the simulated account and its sessions may use up. Every time is in seconds and may be a fraction."""

from __future__ import annotations

from attrs import asdict, evolve, field, fields, frozen
from attrs.validators import ge, gt, lt

_POSITIVE = (gt(0.0), lt(float("inf")))
_AMOUNT = (ge(0.0), lt(float("inf")))


@frozen(kw_only=True)
class Limits:
    """The published limits of the service, each of which a test may shrink.

    Attributes:
        concurrent_sessions: sessions open at once (README of the official client: 3 on trial).
        session_duration: a session's longest life (600 in every published sample of ``session_duration_limit``).
        idle_timeout: how long a session lives without activity unless its ``activity_idle_timeout`` says otherwise.
        no_client_timeout: how long a session lives without the user's participant in its room.
        token_lifetime: how long a session token is good for (users report 401 on every call after an hour).
        credits: what the account starts with (free plan: 10 a month).
        credits_per_minute: the price of a minute.
        billed_at_least: the shortest time a session is billed for.
        text_length: the longest text of one task, in characters.
        liveavatar_session_duration: a LiveAvatar session's longest life (its plans' limits are not published).
        liveavatar_sandbox_duration: likewise in the sandbox (observed: 60).
        liveavatar_idle_timeout: how long it lives without activity (its lifecycle pages: 5 minutes).
        liveavatar_abandoned_timeout: how long it lives once nobody is left (observed: 194 and 210).
        liveavatar_full_price: credits for a minute of FULL mode; LITE's is ``liveavatar_lite_price``.
        liveavatar_billed_by: seconds that are escrowed at the start, and charged from then on one after the other.
        liveavatar_starvation: silence in the middle of a LITE utterance after which the service complains.
        liveavatar_message_size: the longest message on the LITE socket, in bytes (its events page: 1 MB).
        liveavatar_calls_per_second: calls of one endpoint by one caller (its limits are not published).
    """

    concurrent_sessions: int = field(default=3, validator=ge(0))
    session_duration: float = field(default=600.0, validator=_POSITIVE)
    idle_timeout: float = field(default=120.0, validator=_POSITIVE)
    no_client_timeout: float = field(default=300.0, validator=_POSITIVE)
    token_lifetime: float = field(default=3600.0, validator=_AMOUNT)
    credits: float = field(default=10.0, validator=_AMOUNT)
    credits_per_minute: float = field(default=0.2, validator=_AMOUNT)
    billed_at_least: float = field(default=30.0, validator=_AMOUNT)
    text_length: int = field(default=1000, validator=gt(0))
    liveavatar_session_duration: float = field(default=1200.0, validator=_POSITIVE)
    liveavatar_sandbox_duration: float = field(default=60.0, validator=_POSITIVE)
    liveavatar_idle_timeout: float = field(default=300.0, validator=_POSITIVE)
    liveavatar_abandoned_timeout: float = field(default=200.0, validator=_POSITIVE)
    liveavatar_full_price: float = field(default=2.0, validator=_AMOUNT)
    liveavatar_lite_price: float = field(default=1.0, validator=_AMOUNT)
    liveavatar_billed_by: float = field(default=60.0, validator=_POSITIVE)
    liveavatar_starvation: float = field(default=1.0, validator=_POSITIVE)
    liveavatar_message_size: int = field(default=1 << 20, validator=gt(0))
    liveavatar_calls_per_second: int = field(default=100, validator=gt(0))

    def accelerated(self, factor: float) -> Limits:
        """The same limits by a clock that runs ``factor`` times as fast, so that an hour's session lasts seconds.

        A whole session costs as many credits as ever. Speech takes its time all the same, and so does its starvation.
        """
        faster = {name: value / factor for name, value in asdict(self).items() if name in _LIVES}
        dearer = {name: value * factor for name, value in asdict(self).items() if name in _PRICES_PER_MINUTE}
        return evolve(self, **faster, **dearer)


_LIVES = frozenset(
    {
        "session_duration",
        "idle_timeout",
        "no_client_timeout",
        "token_lifetime",
        "billed_at_least",
        "liveavatar_session_duration",
        "liveavatar_sandbox_duration",
        "liveavatar_idle_timeout",
        "liveavatar_abandoned_timeout",
        "liveavatar_billed_by",
    }
)
_PRICES_PER_MINUTE = frozenset({"credits_per_minute", "liveavatar_full_price", "liveavatar_lite_price"})


def limit_names() -> tuple[tuple[str, type], ...]:
    """Each limit's name and type, for a command line that offers them all."""
    return tuple((attribute.name, type(attribute.default)) for attribute in fields(Limits))
