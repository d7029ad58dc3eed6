"""A command by REST, there and back, against a bare ``requests.Session`` in the same process."""

from __future__ import annotations

import statistics
import time

from benchmarks.child import apart
from benchmarks.measure import Row, simulator


def rows(*, quick: bool) -> list[Row]:
    rounds, calls = (2, 50) if quick else (9, 200)
    with simulator() as address:
        runs = [apart(command, calls=calls, **address.settings()) for _ in range(rounds)]
    return [
        Row(
            what="a command by REST",
            unit="ms",
            ours=[run[0] for run in runs],
            theirs=[run[1] for run in runs],
            against="requests.Session",
            digits=2,
        )
    ]


def command(base_path: str, api_key: str, calls: int) -> list[float]:
    """The median milliseconds of ours and of a bare session's, call by call in turns."""
    import requests

    from heygen_avatar import StreamingAvatar

    ours, bare = [], []
    with requests.Session() as session, StreamingAvatar(api_key=api_key, base_path=base_path) as avatar:
        avatar.create_start_avatar(quality="low")
        url, headers = f"{base_path}/v1/streaming.keep_alive", {"x-api-key": api_key}
        body = {"session_id": avatar.session_id}
        for _ in range(calls):
            began = time.perf_counter()
            avatar.keep_alive()
            turn = time.perf_counter()
            session.post(url, json=body, headers=headers, timeout=10).json()
            bare.append(time.perf_counter() - turn)
            ours.append(turn - began)
    return [1000 * statistics.median(ours), 1000 * statistics.median(bare)]
