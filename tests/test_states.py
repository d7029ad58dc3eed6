"""The public API against a model, by hypothesis: in whatever order it is called, the avatar is in the state the
model says, and the service has no session open that the model does not know of."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from heygen_avatar import (
    SessionClosedError,
    SessionNotStartedError,
    SessionState,
    SpeechOutcome,
    StreamingAvatar,
    StreamingEvents,
)
from heygen_avatar.simulator import Simulator
from tests.conftest import ROOMY
from tests.programs import eventually

NONE, NEW, STARTED, STOPPED = "none", "new", "started", "stopped"
STATES = {
    NONE: SessionState.INACTIVE,
    NEW: SessionState.INACTIVE,
    STARTED: SessionState.CONNECTED,
    STOPPED: SessionState.DISCONNECTED,
}


class AvatarMachine(RuleBasedStateMachine):
    """``where`` is the model: all that a user need know of an avatar to say what a call will do."""

    simulator: Simulator

    @initialize(dispatch=st.sampled_from(["thread", "manual"]))
    def make(self, dispatch):
        self.avatar = StreamingAvatar(
            api_key=self.simulator.api_key, base_path=self.simulator.base_path, dispatch=dispatch, guardian=False
        )
        self.before = len(self.simulator.sessions())
        self.where = NONE
        self.sessions = 0
        self.spoken = 0
        self.ready = []
        self.avatar.on(StreamingEvents.STREAM_READY, self.ready.append)

    def teardown(self):
        self.avatar.stop_avatar()
        assert eventually(lambda: not self._open())

    # -- what a user does

    @rule()
    def start(self):
        self.avatar.create_start_avatar(quality="low")
        self.sessions += 1
        self.where = STARTED

    @rule()
    def create(self):
        self.avatar.new_session(quality="low")
        self.sessions += 1
        self.where = NEW

    @rule()
    def start_created(self):
        if self.where == NEW:
            self.avatar.start_session()
            self.where = STARTED
        elif self.where == NONE:
            with pytest.raises(SessionNotStartedError):
                self.avatar.start_session()

    @rule()
    def stop(self):
        self.avatar.stop_avatar()
        if self.where != NONE:
            self.where = STOPPED

    @rule(call=st.sampled_from(["keep_alive", "interrupt", "start_listening", "stop_listening", "snapshot"]))
    def command(self, call):
        self._expecting_what_the_model_says(getattr(self.avatar, call))

    @rule(text=st.sampled_from(["Hi.", "No.", "Yes!"]))
    def say(self, text):
        speech = self._expecting_what_the_model_says(lambda: self.avatar.say(text))
        if speech is not None:
            assert speech.outcome is SpeechOutcome.SPOKEN
            self.spoken += 1

    @rule(text=st.text(min_size=1001, max_size=1010) | st.just("") | st.just("  "))
    def say_too_much_or_nothing(self, text):
        with pytest.raises(ValueError, match=r"."):
            self.avatar.say(text)

    @precondition(lambda self: self.where == STARTED)
    @rule()
    def session_is_ended_by_the_service(self):
        self.simulator.inject({"kind": "room_deleted", "session": self.avatar.session_id})
        assert eventually(lambda: self.avatar.state is SessionState.DISCONNECTED)
        self.where = STOPPED

    # -- what holds at any time

    @invariant()
    def the_state_is_the_models(self):
        assert self.avatar.state is STATES[self.where]
        assert (self.avatar.session_id is None) == (self.where == NONE)

    @invariant()
    def the_service_has_the_models_sessions(self):
        assert len(self.simulator.sessions()) - self.before == self.sessions
        expected = 1 if self.where in (NEW, STARTED) else 0
        assert eventually(lambda: len(self._open()) == expected, 5)

    @invariant()
    def the_transcript_has_what_was_said(self):
        assert len(self.avatar.transcript) <= self.spoken

    def _open(self):
        records = self.simulator.sessions()[self.before :]
        return [record for record in records if record["state"] not in ("closing", "closed")]

    def _expecting_what_the_model_says(self, call):
        errors = {NONE: SessionNotStartedError, NEW: SessionNotStartedError, STOPPED: SessionClosedError}
        if self.where == STARTED:
            return call()
        with pytest.raises(errors[self.where]):
            call()
        return None


@pytest.fixture(scope="module", autouse=True)
def shared_simulator():
    with Simulator(limits=ROOMY, fps=10) as simulator:
        AvatarMachine.simulator = simulator
        yield


AvatarMachine.TestCase.settings = settings(
    max_examples=20,
    stateful_step_count=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestAvatar = AvatarMachine.TestCase
