"""An avatar introduces itself, answers a question and is recorded: what ``make demo`` runs.

Reads HEYGEN_API_KEY and HEYGEN_BASE_PATH from the environment; ``heygen-avatar simulator -- python examples/demo.py``
sets both to a local simulator.
"""

import sys
import time

from heygen_avatar import AvatarQuality, Event, StreamingAvatar, StreamingEvents, VoiceEmotion, VoiceSetting

PATH = sys.argv[1] if len(sys.argv) > 1 else "demo.mp4"
began = time.monotonic()


def show(event: Event) -> None:
    details = " ".join(
        f"{name}={getattr(event, name)!r}"
        for name in ("message", "duration_ms", "quality", "reason")
        if getattr(event, name, None)
    )
    print(f"{time.monotonic() - began:6.2f} s  {event.type:28} {details}", flush=True)


with StreamingAvatar() as avatar:
    for event in StreamingEvents:
        avatar.on(event, show)
    avatar.create_start_avatar(
        avatar_name="default",
        quality=AvatarQuality.HIGH,
        voice=VoiceSetting(rate=1.0, emotion=VoiceEmotion.FRIENDLY),
        knowledge_base="You are Ada. Photosynthesis turns light, water and carbon dioxide into sugar and oxygen.",
    )
    with avatar.record(PATH) as recording:
        avatar.say("Hello! I am an avatar, and this is a recording of me speaking.")
        avatar.speak("What does photosynthesis do?").wait()

print(f"\nTranscript\n{avatar.transcript}\n\n{recording.path}: {recording.duration:.1f} s of picture and sound")
