"""pocketsphinx in a process of its own, for it holds Python's global lock while it works: the avatar would stutter.

A program, run by path: it imports pocketsphinx and the standard library only. On stdin it reads utterances (length as
four bytes, little-endian, then 16 kHz mono int16), on stdout it writes for each what was said (length, then UTF-8). It
ends when its stdin does.
"""

from __future__ import annotations

import signal
import struct
import sys
from typing import BinaryIO

LENGTH = struct.Struct("<I")


def main(utterances: BinaryIO, texts: BinaryIO) -> None:
    from pocketsphinx import Decoder

    decoder = Decoder(samprate=16_000, loglevel="FATAL")
    while head := utterances.read(LENGTH.size):
        sound = utterances.read(LENGTH.unpack(head)[0])
        decoder.start_utt()
        # The utterance as a whole: it is levelled by itself, not by the speakers before it, and understood better.
        decoder.process_raw(sound, False, True)
        decoder.end_utt()
        hypothesis = decoder.hyp()
        text = (hypothesis.hypstr if hypothesis else "").encode()
        texts.write(LENGTH.pack(len(text)) + text)
        texts.flush()


if __name__ == "__main__":
    sys.path.pop(0)  # this file's neighbours are no top-level modules
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the simulator, which then ends our stdin
    main(sys.stdin.buffer, sys.stdout.buffer)
