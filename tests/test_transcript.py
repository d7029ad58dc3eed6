"""Message chunks become turns, in whatever order and from whichever task they come."""

from heygen_avatar.events import (
    AvatarEndMessage,
    AvatarStopTalking,
    AvatarTalkingMessage,
    StreamDisconnected,
    UserEndMessage,
    UserTalkingMessage,
)
from heygen_avatar.transcript import Transcript


def heard(*events):
    transcript = Transcript()
    for event in events:
        transcript.hear(event)
    return transcript


def test_chunks_of_one_task_are_joined_without_a_separator():
    transcript = heard(
        AvatarTalkingMessage(task_id="1", message="Hi, ", received_at=10.0),
        AvatarTalkingMessage(task_id="1", message="how are you?", received_at=11.0),
        AvatarEndMessage(task_id="1", received_at=12.0),
    )
    [turn] = transcript
    assert (turn.speaker, turn.text, turn.task_id, turn.complete) == ("avatar", "Hi, how are you?", "1", True)
    assert (turn.started_at, turn.ended_at) == (10.0, 12.0)


def test_interleaved_tasks_stay_apart():
    transcript = heard(
        AvatarTalkingMessage(task_id="1", message="one "),
        AvatarTalkingMessage(task_id="2", message="two "),
        AvatarTalkingMessage(task_id="1", message="1"),
        AvatarTalkingMessage(task_id="2", message="2"),
    )
    assert [turn.text for turn in transcript] == ["one 1", "two 2"]


def test_user_and_avatar_alternate_in_the_order_they_spoke():
    transcript = heard(
        UserTalkingMessage(task_id="1", message="Who are you?"),
        UserEndMessage(task_id="1"),
        AvatarTalkingMessage(task_id="1", message="An avatar."),
        AvatarEndMessage(task_id="1"),
    )
    assert transcript.to_text() == "user: Who are you?\navatar: An avatar."


def test_tasks_without_an_id_are_separated_by_their_ends():
    transcript = heard(
        AvatarTalkingMessage(message="first"),
        AvatarEndMessage(),
        AvatarTalkingMessage(message="second"),
        AvatarEndMessage(),
    )
    assert [turn.text for turn in transcript] == ["first", "second"]


def test_the_full_text_at_the_end_repairs_lost_chunks():
    transcript = heard(
        AvatarTalkingMessage(task_id="1", message="Hello "), AvatarEndMessage(task_id="1", message="Hello world")
    )
    assert transcript[0].text == "Hello world"


def test_a_turn_that_was_cut_off_is_not_complete():
    transcript = heard(AvatarTalkingMessage(task_id="1", message="I was going to"), AvatarStopTalking(task_id="1"))
    assert transcript[0].complete is False


def test_the_end_of_the_session_closes_open_turns():
    transcript = heard(
        AvatarTalkingMessage(task_id="", message="before"),
        StreamDisconnected(),
        AvatarTalkingMessage(task_id="", message="after"),
    )
    assert [turn.text for turn in transcript] == ["before", "after"]


def test_typed_text_is_the_users_turn():
    transcript = Transcript()
    transcript.typed("What is a prime?", 5.0)
    assert transcript.to_dicts() == [
        {
            "speaker": "user",
            "text": "What is a prime?",
            "started_at": 5.0,
            "ended_at": 5.0,
            "task_id": "",
            "complete": True,
        }
    ]


def test_the_table_for_notebooks_escapes_what_was_said():
    transcript = heard(AvatarTalkingMessage(message="<script>alert(1)</script>"), AvatarEndMessage())
    html = transcript._repr_html_()
    assert "&lt;script&gt;" in html and "<script>" not in html


def test_a_slice_and_a_length_look_like_a_list():
    transcript = heard(*(UserEndMessage(task_id=str(n), message=f"turn {n}") for n in range(5)))
    assert len(transcript) == 5
    assert [turn.text for turn in transcript[1:3]] == ["turn 1", "turn 2"]
    assert transcript[-1].text == "turn 4"


def test_clearing_forgets_all_turns():
    transcript = heard(UserEndMessage(message="x"))
    transcript.clear()
    assert list(transcript) == []


def test_a_typed_turn_that_the_service_tells_back_stays_one_turn():
    transcript = Transcript()
    transcript.typed("What is a prime?", 5.0)
    transcript.hear(UserTalkingMessage(task_id="7", message="What is "))
    transcript.hear(UserTalkingMessage(task_id="7", message="a prime?"))
    transcript.hear(UserEndMessage(task_id="7"))
    assert [(turn.text, turn.task_id) for turn in transcript] == [("What is a prime?", "7")]


def test_something_else_that_was_heard_after_a_typed_turn_is_a_turn_of_its_own():
    transcript = Transcript()
    transcript.typed("What is a prime?", 5.0)
    transcript.hear(UserTalkingMessage(message="Hello?"))
    transcript.hear(UserEndMessage())
    assert [turn.text for turn in transcript] == ["What is a prime?", "Hello?"]
