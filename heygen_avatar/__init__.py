"""A synchronous SDK for HeyGen's real-time avatars: plain calls, no asyncio.

::

    from heygen_avatar import StreamingAvatar

    with StreamingAvatar(api_key="...") as avatar:
        avatar.create_start_avatar(avatar_name="default")
        avatar.say("Hello, world!")

Importing this package loads neither LiveKit nor numpy; starting a session does.
"""

import logging

from .asking import Exchange
from .avatar import StreamingAvatar
from .cleanup import stop_all
from .client import Client
from .errors import *  # noqa: F403
from .errors import __all__ as _errors
from .events import *  # noqa: F403
from .events import __all__ as _events
from .liveavatar import LiveAvatarMode, LiveAvatarOptions, SessionEndReason
from .media.microphone import Microphone
from .media.sources import Samples, SoundFile, SoundSource
from .models import *  # noqa: F403
from .models import __all__ as _models
from .speech import Speech, SpeechOutcome
from .transcript import Transcript, Turn
from .utterance import Utterance
from .version import __version__
from .voice_chat import VoiceChat, VoiceChatState

logging.getLogger(__name__).addHandler(logging.NullHandler())

__all__ = [
    "Client",
    "Exchange",
    "LiveAvatarMode",
    "LiveAvatarOptions",
    "Microphone",
    "Samples",
    "SessionEndReason",
    "SoundFile",
    "SoundSource",
    "Speech",
    "SpeechOutcome",
    "StreamingAvatar",
    "Transcript",
    "Turn",
    "Utterance",
    "VoiceChat",
    "VoiceChatState",
    "__version__",
    "stop_all",
    *_errors,
    *_events,
    *_models,
]
