"""A text that takes seconds to say, and what the simulator has on record of a session."""

LONG = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen."


def session_of(simulator, avatar):
    [session] = [entry for entry in simulator.sessions() if entry["session_id"] == avatar.session_id]
    return session
