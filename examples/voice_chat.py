"""A conversation by voice: ask aloud, read and hear the answers.

``heygen-avatar simulator -- python examples/voice_chat.py question.wav another.wav`` asks a local simulator what the
files ask; without a file, the microphone is open and the avatar is on the loudspeaker (extra ``audio``), until Ctrl-C.
Reads HEYGEN_API_KEY and HEYGEN_BASE_PATH from the environment.
"""

import sys
from contextlib import suppress
from pathlib import Path

from heygen_avatar import StreamingAvatar, StreamingEvents, VoiceChatTransport

files = [Path(name) for name in sys.argv[1:]]

with StreamingAvatar() as avatar:
    avatar.create_start_avatar(voice_chat_transport=VoiceChatTransport.LIVEKIT)
    if files:
        for file in files:
            exchange = avatar.ask(file)
            print(f"you:    {exchange.question}\navatar: {exchange.answer}")
    else:
        avatar.on(StreamingEvents.USER_TALKING_MESSAGE, lambda event: print("you:   ", event.message))
        avatar.on(StreamingEvents.AVATAR_TALKING_MESSAGE, lambda event: print("avatar:", event.message))
        with suppress(KeyboardInterrupt), avatar.play(), avatar.start_voice_chat():
            print("Speak; Ctrl-C ends the conversation.")
            for _ in avatar.events():
                pass
