"""Every documented error reply becomes the class a caller would catch, and any reply at all becomes one."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from heygen_avatar import errors
from heygen_avatar.errors import (
    APIError,
    AuthenticationError,
    AvatarNotFoundError,
    BadRequestError,
    ConcurrentSessionLimitError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    SessionNotFoundError,
    SessionStateError,
)
from heygen_avatar.protocols.api_errors import api_error, is_success


def error_of(status, body, **how):
    return api_error(status=status, text=body if isinstance(body, str) else json.dumps(body), **how)


V1 = [
    (400, {"code": 10001, "message": "session state wrong: new"}, SessionStateError),
    (400, {"code": 10002, "message": "session state wrong: connecting"}, SessionStateError),
    (400, {"code": 10003, "message": "session state wrong: connected"}, SessionStateError),
    (400, {"code": 10004, "message": "session state wrong: closing"}, SessionStateError),
    (400, {"code": 10005, "message": "session state wrong: closed"}, SessionStateError),
    (400, {"code": 10006, "message": "Session not found"}, SessionNotFoundError),
    (400, {"code": 10007, "message": "Concurrent limit reached"}, ConcurrentSessionLimitError),
    (400, {"code": 10012, "message": "Avatar not found"}, AvatarNotFoundError),
    (400, {"code": 10013, "message": "avatar not found"}, AvatarNotFoundError),
    (400, {"code": 10013, "message": "avatar not allow"}, AvatarNotFoundError),
    (400, {"code": 10014, "message": "Session full"}, SessionStateError),
    (400, {"code": 10015, "message": "Trial API limit reached"}, QuotaExceededError),
    (400, {"code": 400006, "message": "Session is not in correct state"}, SessionStateError),
    (400, {"code": 400006, "message": "Invalid params"}, BadRequestError),
    (400, {"code": 400009, "message": "Error calling text to speech provider: boom"}, BadRequestError),
    (400, {"code": 400128, "message": "invalid query parameter"}, BadRequestError),
    (429, {"code": 400123, "message": "exceed rate limit"}, RateLimitError),
    (400, {"code": 400140, "message": "exceed rate limit"}, RateLimitError),
    (401, {"message": "Unauthorized", "code": 400112}, AuthenticationError),
    (401, {"code": 401056, "message": "ACCESS_TOKEN_EXPIRED"}, AuthenticationError),
    (403, {"code": 400599, "message": "Your account doesn't have API access"}, PermissionDeniedError),
    (403, {"code": 400562, "message": "forbidden"}, PermissionDeniedError),
    (400, {"code": 400014, "message": "Avatar version is deprecated, please update to v3+"}, AvatarNotFoundError),
    (400, {"message": "invalid avatar: not an interactive avatar"}, AvatarNotFoundError),
    (400, {"message": "Concurrent limit reached, please close other testing sessions"}, ConcurrentSessionLimitError),
    (400, {"message": "Session not found"}, SessionNotFoundError),
]

LIVEAVATAR = [
    (403, {"code": 4003, "data": None, "message": "Session concurrency limit reached"}, ConcurrentSessionLimitError),
    (403, {"code": 4003, "data": None, "message": None}, ConcurrentSessionLimitError),
    (400, {"code": 4000, "data": None, "message": "Secret with id 'x' not found in your space"}, BadRequestError),
    (400, {"message": "max_session_duration (600s) exceeds the maximum allowed (60s)"}, BadRequestError),
    (401, {"code": 4001, "message": "bad credential"}, AuthenticationError),
    (402, {"message": "pay first"}, QuotaExceededError),
    (403, {"message": "not for you"}, PermissionDeniedError),
    (404, {"message": "configuration not found"}, NotFoundError),
    (422, {"detail": [{"loc": ["body"], "msg": "bad", "type": "t"}]}, BadRequestError),
    (429, {"message": "too many"}, RateLimitError),
    (500, {"code": 5000, "message": "encryption failure"}, ServerError),
]


@pytest.mark.parametrize(("status", "body", "kind"), V1 + LIVEAVATAR)
def test_a_documented_error_has_its_class_code_and_words(status, body, kind):
    error = error_of(status, body)
    assert type(error) is kind
    assert (error.status, error.code) == (status, body.get("code"))
    if body.get("message"):
        assert error.message == body["message"]
        assert body["message"] in str(error)


def test_the_words_tell_two_meanings_of_one_code_apart():
    old = {"code": 10003, "message": "avatar version is deprecated, please update to v3+", "details": "invalid avatar"}
    assert type(error_of(400, old)) is AvatarNotFoundError
    assert type(error_of(400, {"code": 10003, "message": "session state wrong: connected"})) is SessionStateError


def test_a_reply_that_lets_nobody_in_says_nothing_of_the_session():
    # A stop call takes "session not found" for the session's end: a refused one must not be taken for it.
    assert type(error_of(401, {"code": 400112, "message": "session not found for this token"})) is AuthenticationError


def test_what_failed_may_speak_of_anything_and_still_has_failed():
    assert type(error_of(500, {"message": "cannot read the account's quota"})) is ServerError


def test_a_quota_of_calls_is_a_rate_limit_not_an_empty_purse():
    assert type(error_of(429, {"message": "quota exceeded"})) is RateLimitError
    assert type(error_of(400, {"message": "insufficient quota"})) is QuotaExceededError


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"message": "m"}, "m"),
        ({"msg": "m"}, "m"),
        ({"error": "m"}, "m"),
        ({"error": {"code": "bad", "message": "m"}}, "m"),
        ({"detail": "m"}, "m"),
        ({"detail": [{"loc": ["body", "avatar_id"], "msg": "field required"}]}, "body.avatar_id field required"),
        ({"detail": [{"loc": ["body", 0], "msg": "a"}, {"msg": "b"}]}, "body.0 a; b"),
        ({"data": [{"message": "m"}], "message": "Validation failed"}, "Validation failed: m"),
        ({"message": "avatar old", "details": "v1"}, "avatar old (v1)"),
    ],
)
def test_the_words_are_found_wherever_the_body_keeps_them(body, words):
    assert error_of(422, body).message == words


@pytest.mark.parametrize(
    ("code", "expected"), [("10005", 10005), ("not_found", "not_found"), (None, None), (True, None), ([], None)]
)
def test_a_code_may_be_a_number_a_text_or_missing(code, expected):
    assert error_of(418, {"code": code, "message": "m"}).code == expected


def test_a_nested_code_is_found():
    assert error_of(401, {"error": {"code": "unauthorized", "message": "m"}}).code == "unauthorized"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the service gave no reason"),
        ("<html><h1>502</h1></html>", "web page"),
        ("upstream connect error\nmore", "upstream connect error"),
        ('{"message"', '{"message"'),
        ("[" * 50_000, "[["),
    ],
)
def test_a_body_that_is_no_json_object_is_still_told_of(text, words):
    error = error_of(502, text)
    assert type(error) is ServerError
    assert words in error.message


def test_the_kept_body_and_the_message_are_shortened():
    error = error_of(400, {"message": "m" * 100_000})
    assert len(error.response_text) == 2_000
    assert len(str(error)) < 1_000


def test_a_message_tells_what_failed_with_which_facts_and_what_to_do():
    error = error_of(400, {"code": 10007, "message": "Concurrent limit reached"}, call="streaming.new", request_id="r")
    assert str(error).startswith("streaming.new: Concurrent limit reached (HTTP 400, code 10007, request r). ")
    assert "stop_all()" in str(error)


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for name in errors.__all__
        if isinstance(kind := getattr(errors, name), type)
        and issubclass(kind, APIError)
        and kind not in (APIError, BadRequestError)
    ],
)
def test_every_kind_of_refusal_says_what_to_do(kind):
    examples = [error_of(status, body) for status, body, expected in V1 + LIVEAVATAR if expected is kind]
    assert examples
    for error in examples:
        assert str(error).partition("). ")[2]


@pytest.mark.parametrize("status", [429, 503])
def test_when_to_come_again_is_kept_and_told(status):
    error = error_of(status, "", retry_after=2.5)
    assert error.retry_after == 2.5
    assert "Try again in 2.5 s" in str(error)


@pytest.mark.parametrize(
    "body",
    [
        {"code": 100, "message": "success", "data": {}},
        {"code": 1000, "data": {}, "message": None},
        {"code": 0, "data": {}},
        {"code": "100"},
        {"code": 200, "message": "ok", "data": {"session_id": "s"}},
        {"error": None, "data": {"token": "t"}},
        {"status": "success"},
        [],
        None,
    ],
)
def test_both_envelopes_can_say_success(body):
    assert is_success(body)


@pytest.mark.parametrize(
    "body",
    [{"code": 10005}, {"code": "400112"}, {"code": 4003}, {"code": -1}, {"error": {"message": "m"}}, {"error": "m"}],
)
def test_both_envelopes_can_say_failure(body):
    assert not is_success(body)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["code", "message", "msg", "error", "data", "detail", "details", "loc"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(status=st.integers(200, 999), text=st.text(st.characters()) | VALUES.map(json.dumps))
@example(status=400, text=json.dumps({"code": int("9" * 4_000)}))
@example(status=400, text='{"code": "\\ud83d", "message": "\\ud83d"}')
@example(status=422, text=json.dumps({"detail": [{"loc": [[[]], {}, None], "msg": "m"}]}))
def test_any_reply_is_an_error_with_its_status_that_can_be_printed(status, text):
    error = api_error(status=status, text=text, call="streaming.new")
    assert isinstance(error, APIError)
    assert error.status == status
    str(error).encode()


@given(body=VALUES)
def test_any_body_is_a_success_or_not(body):
    assert is_success(body) in (True, False)
