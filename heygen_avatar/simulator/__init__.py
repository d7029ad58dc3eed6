"""A local HeyGen over real REST, WebSockets and WebRTC: see :class:`Simulator`."""

from heygen_avatar.errors import MissingExtraError

_EXTRA = ("aiohttp", "aiortc", "av", "google", "jwt", "livekit", "numpy", "PIL", "webrtcvad")

try:
    from heygen_avatar.simulator.brain import BrainSettings
    from heygen_avatar.simulator.faults import Fault
    from heygen_avatar.simulator.limits import Limits
    from heygen_avatar.simulator.listener import Hearing
    from heygen_avatar.simulator.recogniser import RecogniserSettings
    from heygen_avatar.simulator.server import Simulator
except ModuleNotFoundError as _error:
    if (_error.name or "").partition(".")[0] not in _EXTRA:
        raise
    raise MissingExtraError(extra="simulator", feature="the simulator") from _error

__all__ = ["BrainSettings", "Fault", "Hearing", "Limits", "RecogniserSettings", "Simulator"]
