"""The start of a session against HeyGen's own TypeScript client in Chromium, both with a token at hand.

The browser has its page open and the client loaded; this package has had a session in the same process before. Both
subscribe to the picture from the beginning of what is measured to its first frame.
"""

from __future__ import annotations

import time

import requests

from benchmarks.child import apart
from benchmarks.measure import Row, simulator, turns
from tests.browser.chromium import Browser, missing

__all__ = ["missing", "rows"]

CLIENT = "the TypeScript client in Chromium"


def rows(*, quick: bool) -> list[Row]:
    rounds, starts = (1, 2) if quick else (8, 3)
    with simulator() as address:
        browser = Browser()
        try:
            ours, theirs = turns(
                rounds,
                lambda: apart(start_ours, count=starts, **address.settings()),
                lambda: [_start_theirs(browser, **address.settings()) for _ in range(starts)],
            )
        finally:
            browser.close()
    return [
        Row(
            what=f"start to {reached}, later, token at hand",
            unit="ms",
            ours=[times[at] for run in ours for times in run],
            theirs=[times[at] for run in theirs for times in run],
            against=CLIENT,
        )
        for reached, at in (("ready", 0), ("first frame", 1))
    ]


def start_ours(base_path: str, api_key: str, count: int) -> list[list[float]]:
    """For each start but the first, the milliseconds to ready and to the first frame."""
    from heygen_avatar import StreamingAvatar

    result = []
    for _ in range(count + 1):
        token = _token(base_path, api_key)
        began = time.perf_counter()
        with StreamingAvatar(token=token, base_path=base_path) as avatar:
            avatar.create_start_avatar(quality="low")
            ready = time.perf_counter()
            with avatar.video_frames() as frames:
                next(frames)
                seen = time.perf_counter()
        result.append([1000 * (ready - began), 1000 * (seen - began)])
    return result[1:]


def _start_theirs(browser: Browser, base_path: str, api_key: str) -> list[float]:
    page = browser.open()
    try:
        page.arrive(token=_token(base_path, api_key), base_path=base_path)
        times = page.look("timeStart", request={"avatarName": "default", "quality": "low"})
        page.call("stopAvatar")
        return [times["ready"], times["frame"]]
    finally:
        page.close()


def _token(base_path: str, api_key: str) -> str:
    reply = requests.post(f"{base_path}/v1/streaming.create_token", headers={"x-api-key": api_key}, timeout=10)
    return str(reply.json()["data"]["token"])
