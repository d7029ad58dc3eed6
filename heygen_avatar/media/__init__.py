"""What is seen and heard: the LiveKit room on the media loop, frames, blocking iterators, the recorder.

Nothing is imported here, so that ``heygen_avatar.media.frames`` can be had without livekit and numpy. The modules that
need livekit (``room``, ``feed``) are imported when a session starts.
"""
