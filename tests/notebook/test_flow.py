"""How much is sent to pages that take it, do not, or cannot say."""

from __future__ import annotations

from heygen_avatar.notebook.flow import BLIND_INTERVAL, BLIND_SECONDS, LOST, STUCK, Flow

BOTH = frozenset(("picture", "sound"))
PICTURE = frozenset(("picture",))


def with_pages(*names: str) -> Flow:
    flow = Flow(0.0)
    for name in names:
        flow.hear(name, 0, 0.0, BOTH)
    return flow


def send_all(flow: Flow, now: float, *, deaf: bool = False) -> int:
    """Send pictures until no more may be sent; how many."""
    sent = 0
    while sent < 100 and flow.may_send(now, deaf=deaf):
        flow.send(now)
        sent += 1
    return sent


def test_no_more_than_two_pictures_are_on_their_way() -> None:
    flow = with_pages("page")
    assert send_all(flow, 0.0) == 2


def test_each_acknowledged_picture_makes_way_for_another() -> None:
    flow = with_pages("page")
    send_all(flow, 0.0)
    flow.hear("page", 1, 0.1)
    assert send_all(flow, 0.1) == 1
    flow.hear("page", 3, 0.2)
    assert send_all(flow, 0.2) == 2


def test_a_page_that_acknowledges_what_was_never_sent_gains_nothing() -> None:
    flow = with_pages("page")
    flow.hear("page", 1_000, 0.1)
    assert send_all(flow, 0.1) == 2


def test_an_old_acknowledgement_takes_nothing_back() -> None:
    flow = with_pages("page")
    send_all(flow, 0.0)
    flow.hear("page", 2, 0.1)
    flow.hear("page", 1, 0.2)
    assert send_all(flow, 0.2) == 2


def test_the_slower_of_two_pages_sets_the_pace() -> None:
    flow = with_pages("fast", "slow")
    send_all(flow, 0.0)
    flow.hear("fast", 2, 0.1)
    assert send_all(flow, 0.1) == 0


def test_a_stuck_page_does_not_hold_up_another() -> None:
    flow = with_pages("fast", "stuck")
    send_all(flow, 0.0)
    flow.hear("fast", 2, STUCK + 0.1)
    assert send_all(flow, STUCK + 0.1) == 2


def test_a_page_that_goes_is_not_waited_for() -> None:
    flow = with_pages("stays", "goes")
    send_all(flow, 0.0)
    flow.hear("stays", 2, 0.1)
    flow.forget("goes")
    assert send_all(flow, 0.1) == 2


def test_nothing_is_wanted_for_a_page_that_fell_silent() -> None:
    flow = with_pages("page")
    assert flow.wanted("picture", LOST - 0.1, deaf=False)
    assert not flow.wanted("picture", LOST, deaf=False)


def test_only_what_a_page_wants_is_wanted() -> None:
    flow = with_pages()
    flow.hear("page", 0, 0.0, PICTURE)
    assert flow.wanted("picture", 0.0, deaf=False)
    assert not flow.wanted("sound", 0.0, deaf=False)


def test_before_the_first_page_is_heard_both_are_wanted_for_a_moment() -> None:
    flow = with_pages()
    assert flow.wanted("sound", LOST - 0.1, deaf=False)
    assert not flow.wanted("sound", LOST, deaf=False)


def test_a_page_that_cannot_be_heard_is_sent_pictures_slowly_and_not_for_ever() -> None:
    flow = with_pages("page")
    send_all(flow, 1.0)
    assert send_all(flow, 1.0 + BLIND_INTERVAL / 2, deaf=True) == 0
    assert send_all(flow, 1.01 + BLIND_INTERVAL, deaf=True) == 1
    assert flow.wanted("sound", BLIND_SECONDS - 0.1, deaf=True)
    assert not flow.wanted("sound", BLIND_SECONDS, deaf=True)
    assert send_all(flow, BLIND_SECONDS, deaf=True) == 0


def test_nothing_is_sent_blindly_to_a_page_that_has_gone() -> None:
    flow = with_pages("page")
    flow.forget("page")
    assert not flow.wanted("picture", 1.0, deaf=True)
