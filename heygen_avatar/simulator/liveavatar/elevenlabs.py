"""What passes through to and from a hosted ElevenLabs agent (liveavatar §5.1).

There is no such agent here: the simulator's own brain answers, and the agent's events are told in its raw form.
"""

from __future__ import annotations

import uuid
from typing import Any, Protocol


class Host(Protocol):
    """The session that the agent speaks in."""

    def answer(self, text: str, source: str | None) -> None: ...

    def tell(self, event_type: str, source: str | None, **facts: Any) -> None: ...


class ElevenLabsAgent:
    """Takes the agent's commands, tells of its events."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._greeted = False

    def greet(self) -> None:
        """Tell of the conversation, once."""
        if self._greeted:
            return
        self._greeted = True
        conversation_id = f"conv_{uuid.uuid4().hex}"
        self._pass_on("conversation_initiation_metadata", None, conversation_id=conversation_id)

    def obey(self, command: dict[str, Any], source: str | None) -> None:
        """Do what a command asks for. A context update, an activity and a tool's result have nothing to show."""
        data = command.get("data")
        text = data.get("text") if isinstance(data, dict) else None
        if command.get("elevenlabs_event_type") == "user_message" and isinstance(text, str) and text.strip():
            self._pass_on("user_transcript", source, user_transcript=text)
            self._host.answer(text, source)

    def on_said(self, text: str) -> None:
        """The agent has said this."""
        self._pass_on("agent_response", None, agent_response=text)

    def _pass_on(self, kind: str, source: str | None, **content: Any) -> None:
        # An ElevenLabs event keeps its content under its own name.
        data = {"type": kind, f"{_CONTENT.get(kind, kind)}_event": content}
        self._host.tell("elevenlabs_agent_event", source, elevenlabs_event_type=kind, data=data)


_CONTENT = {"user_transcript": "user_transcription"}
