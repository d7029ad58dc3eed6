"""A visit of the official client at a simulator, and how to read what it heard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import requests

from heygen_avatar.simulator import Simulator

from .chromium import Browser, Page

QUIET = 0.001
"""RMS of full scale, -60 dB: nobody speaks."""

Visit = Callable[..., Page]


@contextmanager
def visiting(browser: Browser, simulator: Simulator, token: str = "", **opening: Any) -> Iterator[Page]:
    """A page with a client that is yet to be started. What it heard is printed, for pytest to show on failure."""
    page = browser.open(**opening)
    try:
        page.arrive(token=token or new_token(simulator), base_path=simulator.base_path)
        yield page
    finally:
        print(page.report())
        page.close()


def new_token(simulator: Simulator) -> str:
    """What an application's back end does for its pages."""
    url = f"{simulator.base_path}/v1/streaming.create_token"
    reply = requests.post(url, headers={"x-api-key": simulator.api_key}, timeout=10)
    return str(reply.json()["data"]["token"])


def types(events: list[dict[str, Any]], *, task_id: str) -> list[str]:
    """The types of a task's events in their order, those that follow one another counted once."""
    heard = [event["type"] for event in events if _task_id(event) == task_id]
    return [kind for kind, before in zip(heard, [None, *heard], strict=False) if kind != before]


def message(events: list[dict[str, Any]], event_type: str) -> str:
    """The text whose pieces came in events of the type."""
    return "".join(event["detail"]["message"] for event in events if event["type"] == event_type)


def _task_id(event: dict[str, Any]) -> Any:
    return event["detail"].get("task_id") if isinstance(event["detail"], dict) else None
