"""The guardian: a tiny process that stops the sessions of a program that died without a word.

Run by path, isolated, with the standard library alone; it must never import this package. It reads one JSON object a
line from its standard input: ``{"watch": ID, "calls": [...], "cafile": ...}`` and ``{"forget": ID}``. When the input
ends with sessions still listed, their program was killed: it makes their stop calls and ends. Secrets come by the
pipe and stay in memory.
"""

from __future__ import annotations

import sys

ATTEMPTS = 3
TIMEOUT = 5.0
PAUSE = 0.5


def main() -> None:
    import json

    watched = {}
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if "watch" in message:
            watched[message["watch"]] = message
        else:
            watched.pop(message["forget"], None)
    if watched:
        _stop(list(watched.values()))


def _stop(sessions: list[dict]) -> None:  # type: ignore[type-arg]  # typing is not worth its memory here
    # Imported only now: they are most of the memory, and a guardian that is never needed never pays for them.
    import threading

    threads = [threading.Thread(target=_stop_one, args=(session,), daemon=True) for session in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(ATTEMPTS * (TIMEOUT + PAUSE) * 2)


def _stop_one(session: dict) -> None:  # type: ignore[type-arg]
    import time

    for attempt in range(ATTEMPTS):
        for call in session["calls"]:
            if _made(call, session.get("cafile")):
                return
        time.sleep(PAUSE * (attempt + 1))


def _made(call: dict, cafile: str | None) -> bool:  # type: ignore[type-arg]
    """Make one call; true when nothing is left to do: it was taken, or the session is over already."""
    import ssl
    import urllib.error
    import urllib.request

    request = urllib.request.Request(
        call["url"], data=call["body"].encode(), headers=call["headers"], method=call["method"]
    )
    context = ssl.create_default_context(cafile=cafile) if call["url"].startswith("https:") else None
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT, context=context):
            return True
    except urllib.error.HTTPError as error:
        return error.code in (400, 404, 409)  # closed or unknown; 401 tries the next credentials
    except OSError:
        return False


if __name__ == "__main__":
    main()
