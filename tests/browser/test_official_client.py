"""HeyGen's own browser client, unmodified, against the simulator: what it relies on holds here too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from heygen_avatar.simulator import Simulator

from .chromium import Browser, ClientError, Page
from .visits import QUIET, Visit, message, new_token, types, visiting

pytestmark = pytest.mark.browser

TRANSPORTS = ["websocket", "livekit"]
AVATAR = {"avatarName": "default", "quality": "medium", "voice": {"rate": 1.5}}
SENTENCE = "Hello, this is the official client."
COUNTING = "One, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, thirteen, fourteen, fifteen."

LOUD = 0.01
"""RMS of full scale, -40 dB: a voice."""


@pytest.fixture(scope="module")
def browser(launch: Callable[..., Browser]) -> Browser:
    return launch()


@pytest.fixture(scope="module", params=TRANSPORTS)
def lasting(request: pytest.FixtureRequest, browser: Browser, simulator: Simulator) -> Iterator[Page]:
    """One session in each transport, for all tests that leave it open."""
    with visiting(browser, simulator) as page:
        page.call("createStartAvatar", {**AVATAR, "voiceChatTransport": request.param})
        page.hear("stream_ready")
        yield page
        page.call("stopAvatar")


@pytest.fixture
def page(lasting: Page) -> Iterator[Page]:
    """The lasting session's page, forgetting what others heard. Silent, whatever the test before left behind."""
    lasting.wait_until_quiet(QUIET)
    lasting.mark()
    yield lasting
    print(lasting.report())


@pytest.fixture
def visit(browser: Browser, simulator: Simulator) -> Iterator[Visit]:
    """Open a page of the test's own."""
    with ExitStack() as pages:
        yield lambda **settings: pages.enter_context(visiting(browser, simulator, **settings))


# What is seen and heard


def test_a_moving_picture_of_480_lines_is_shown_at_medium_quality(page: Page) -> None:
    picture = page.picture()
    assert (picture["width"], picture["height"]) == (854, 480)
    assert picture["colours"] > 1_000
    assert picture["changed"] > 0


def test_the_picture_comes_in_the_encoding_that_the_client_asks_for(page: Page) -> None:
    assert page.look("codec") == "video/H264"


def test_the_stream_is_ready_once_it_has_sound_and_picture(visit: Visit) -> None:
    page = visit()
    page.call("createStartAvatar", AVATAR)
    assert page.hear("stream_ready")["detail"] == ["audio", "video"]
    assert page.console() == [], "the browser and the client have nothing to complain of"
    page.call("stopAvatar")


def test_the_avatar_sounds_while_it_talks_and_not_after(page: Page) -> None:
    task = page.call("speak", {"text": SENTENCE, "taskType": "repeat", "taskMode": "async"})
    page.hear("avatar_start_talking", task_id=task["task_id"])
    page.wait_until_loud(LOUD)
    assert "avatar_stop_talking" not in types(page.events(), task_id=task["task_id"])
    page.hear("avatar_stop_talking", task_id=task["task_id"])
    page.wait_until_quiet(QUIET)


def test_a_page_from_the_internet_meets_the_avatar_if_the_user_lets_it_reach_this_machine(visit: Visit) -> None:
    page = visit(origin="internet", permissions=["local-network-access"])
    page.call("createStartAvatar", AVATAR)
    page.hear("stream_ready")
    assert page.picture()["height"] == 480
    page.call("stopAvatar")


# What the avatar is told to do


def test_a_synchronous_repeat_is_told_of_in_order_and_answered_when_it_was_said(page: Page) -> None:
    reply = page.call("speak", {"text": SENTENCE, "taskType": "repeat", "taskMode": "sync"})
    stop = page.hear("avatar_stop_talking", task_id=reply["task_id"])
    events = page.events()
    assert types(events, task_id=reply["task_id"]) == [
        "avatar_start_talking",
        "avatar_talking_message",
        "avatar_end_message",
        "avatar_stop_talking",
    ]
    assert message(events, "avatar_talking_message") == SENTENCE
    assert stop["detail"]["duration_ms"] == reply["duration_ms"]
    started = page.hear("avatar_start_talking")["at"]
    assert stop["at"] - started == pytest.approx(reply["duration_ms"], abs=1_000)


def test_talk_is_answered_over_the_chat_channel_alone(page: Page) -> None:
    calls = page.look("calls", path="/v1/streaming.task")
    assert page.call("speak", {"text": "What is your name?"}) is None
    task_id = page.hear("avatar_stop_talking")["detail"]["task_id"]
    events = page.events()
    assert types(events, task_id=task_id) == [
        "user_talking_message",
        "user_end_message",
        "avatar_start_talking",
        "avatar_talking_message",
        "avatar_end_message",
        "avatar_stop_talking",
    ]
    assert message(events, "user_talking_message") == "What is your name?"
    assert message(events, "avatar_talking_message") == "I am the simulated avatar of this session."
    assert page.look("calls", path="/v1/streaming.task") == calls


def test_an_interrupted_avatar_falls_silent_and_leaves_its_text_unended(page: Page) -> None:
    task_id = page.call("speak", {"text": COUNTING, "taskType": "repeat", "taskMode": "async"})["task_id"]
    page.hear("avatar_start_talking", task_id=task_id)
    page.wait_until_loud(LOUD)
    page.call("interrupt")
    stop = page.hear("avatar_stop_talking", task_id=task_id)
    page.wait_until_quiet(QUIET)
    assert stop["detail"]["duration_ms"] < 3_000
    assert "avatar_end_message" not in types(page.events(), task_id=task_id)
    assert len(message(page.events(), "avatar_talking_message")) < len(COUNTING)


@pytest.mark.parametrize("method", ["keepAlive", "startListening", "stopListening"])
def test_the_calls_that_only_tell_are_accepted(page: Page, method: str) -> None:
    assert page.call(method) is None


# Late, for the client takes some seconds to judge it.
def test_the_quality_of_the_connection_is_told(lasting: Page) -> None:
    assert lasting.livekit_quality() == "excellent"
    assert lasting.look("heard", since=0, type="connection_quality_changed", facts={}, seconds=10)["detail"] == "GOOD"


# The end, and what goes wrong


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_stopped_session_disconnects_as_a_deleted_room_and_is_billed(
    visit: Visit, simulator: Simulator, transport: str
) -> None:
    page = visit()
    session_id = page.call("createStartAvatar", {**AVATAR, "voiceChatTransport": transport})["session_id"]
    page.hear("stream_ready")
    page.call("stopAvatar")
    assert page.hear("connection_quality_changed")["detail"] == "UNKNOWN"
    assert page.hear("stream_disconnected")["detail"] == 5
    session = next(record for record in simulator.sessions() if record["session_id"] == session_id)
    assert (session["state"], session["end_reason"]) == ("closed", "stopped")
    assert session["billable_seconds"] == 30
    assert session["ignored_messages"] == 0


def test_a_stopped_session_refuses_the_next_call(visit: Visit) -> None:
    page = visit()
    page.call("createStartAvatar", AVATAR)
    page.call("stopAvatar")
    with pytest.raises(ClientError) as refused:
        page.call("keepAlive")
    assert (refused.value.name, refused.value.status) == ("APIError", 400)
    assert refused.value.body == {"code": 10005, "message": "session state wrong: closed"}


def test_an_unknown_avatar_is_refused_as_documented(visit: Visit) -> None:
    with pytest.raises(ClientError) as refused:
        visit().call("createStartAvatar", {"avatarName": "nobody_public"})
    assert (refused.value.name, refused.value.status) == ("APIError", 400)
    assert refused.value.message == "API request failed with status 400"
    assert refused.value.body == {"code": 10013, "message": "avatar not found"}


def test_a_bad_token_is_unauthorized(visit: Visit) -> None:
    with pytest.raises(ClientError) as refused:
        visit(token="expired-long-ago").call("createStartAvatar", AVATAR)
    assert (refused.value.name, refused.value.status) == ("APIError", 401)
    assert refused.value.body == {"code": 400112, "message": "Unauthorized"}


def test_a_token_serves_one_new_session_only(visit: Visit, simulator: Simulator) -> None:
    token = new_token(simulator)
    first = visit(token=token)
    first.call("createStartAvatar", AVATAR)
    with pytest.raises(ClientError) as refused:
        visit(token=token).call("createStartAvatar", AVATAR)
    assert refused.value.status == 401
    first.call("stopAvatar")
