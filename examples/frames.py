"""What the avatar looks and sounds like, as arrays: pictures by numpy, loudness by numpy.

heygen-avatar simulator -- python examples/frames.py picture.png
"""

import sys
import threading

import numpy as np

from heygen_avatar import StreamingAvatar

PATH = sys.argv[1] if len(sys.argv) > 1 else "picture.png"

with StreamingAvatar() as avatar:
    avatar.create_start_avatar(quality="medium")
    loudest = 0

    def listen() -> None:
        global loudest
        for sound in avatar.audio_frames(sample_rate=16_000):  # ends with the session
            loudest = max(loudest, int(np.abs(sound.samples.astype(np.int32)).max()))

    listener = threading.Thread(target=listen)
    listener.start()
    speech = avatar.speak("Look at me while I am talking.", task_type="repeat")

    pictures = 0
    for frame in avatar.video_frames():
        pictures += 1
        array = frame.to_ndarray()  # (height, width, 3), uint8, RGB
        if speech.done:
            break

    print(f"{pictures} pictures of {array.shape}, mean colour {array.mean(axis=(0, 1)).round()}")
    avatar.snapshot().save(PATH)

listener.join()
print(f"loudest sample {loudest}; {PATH} shows the avatar")
