"""Speak with an avatar: by the microphone until Ctrl-C, or by sound files, each of which is a question.

python examples/voice_chat.py                        # needs the extra "audio"
python examples/voice_chat.py question.wav more.wav  # needs the extra "record"
"""

import sys
from pathlib import Path

from heygen_avatar import AvatarEndMessage, Event, Microphone, StreamingAvatar, StreamingEvents, UserEndMessage


def show(event: Event) -> None:
    match event:
        case UserEndMessage():
            print("(heard you)", flush=True)
        case AvatarEndMessage():
            print(f"avatar: {avatar.transcript[-1].text}", flush=True)


with StreamingAvatar() as avatar:
    avatar.create_start_avatar()
    if sys.argv[1:]:
        for path in sys.argv[1:]:
            exchange = avatar.ask(Path(path))
            print(f"you: {exchange.question}\navatar: {exchange.answer}", flush=True)
    else:
        avatar.on(StreamingEvents.USER_END_MESSAGE, show)
        avatar.on(StreamingEvents.AVATAR_END_MESSAGE, show)
        with avatar.start_voice_chat(source=Microphone()), avatar.play():
            print("Speak. Ctrl-C ends it.", flush=True)
            try:
                for _ in avatar.events():
                    pass
            except KeyboardInterrupt:
                print()
