"""A lesson from a text file, a sentence a line: one movie, and its subtitles beside it.

heygen-avatar simulator -- python examples/lesson.py sentences.txt lesson.mp4
"""

import sys
from pathlib import Path

from heygen_avatar import StreamingAvatar

sentences = [line.strip() for line in Path(sys.argv[1]).read_text("utf-8").splitlines() if line.strip()]
movie = Path(sys.argv[2])


def clock(seconds: float) -> str:
    """What SubRip writes for a moment: hours:minutes:seconds,milliseconds."""
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02},{ms % 1000:03}"


subtitles = []
with StreamingAvatar() as avatar:
    avatar.create_start_avatar(quality="high")
    with avatar.record(movie) as recording:
        for number, sentence in enumerate(sentences, start=1):
            begin = recording.duration
            avatar.say(sentence)
            subtitles.append(f"{number}\n{clock(begin)} --> {clock(recording.duration)}\n{sentence}\n")
            print(f"{number}/{len(sentences)}  {sentence}", flush=True)

movie.with_suffix(".srt").write_text("\n".join(subtitles), "utf-8")
print(f"{movie}: {recording.duration:.1f} s, and {movie.with_suffix('.srt').name}")
