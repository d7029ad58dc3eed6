from __future__ import annotations

import logging

import pytest

from heygen_avatar.media import native_log

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjIn0.dGhlIHNpZ25hdHVyZQ"


def test_a_token_in_an_address_is_taken_out() -> None:
    text = f"connecting to ws://host/rtc?access_token={TOKEN}&sdk=python failed"
    assert native_log.redacted(text) == "connecting to ws://host/rtc?access_token=***&sdk=python failed"


def test_a_bare_token_is_taken_out() -> None:
    assert native_log.redacted(f"invalid token {TOKEN}!") == "invalid token ***!"


def test_a_given_secret_is_taken_out_whatever_it_looks_like() -> None:
    assert native_log.redacted("hello opensesame", "opensesame") == "hello ***"


def test_the_last_warning_is_kept_without_its_place_in_the_library() -> None:
    native_log.quiet()
    logging.getLogger("livekit").warning("a::b:12:a::b - refused")
    logging.getLogger("livekit").info("a::b:13:a::b - chatter")
    assert native_log.last_complaint() == "refused"


def test_a_new_connection_starts_without_old_complaints() -> None:
    logging.getLogger("livekit").warning("old")
    native_log.quiet()
    assert native_log.last_complaint() == ""


def test_a_programs_own_handlers_see_no_token_in_the_native_log(caplog: pytest.LogCaptureFixture) -> None:
    native_log.quiet()
    native_log.quiet()
    logging.getLogger("livekit").error("%s refused", f"ws://host/rtc?access_token={TOKEN}")
    assert caplog.messages == ["ws://host/rtc?access_token=*** refused"]
