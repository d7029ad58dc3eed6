"""What the simulated avatar answers: a small rule-based brain, or any OpenAI-compatible endpoint.

A brain gets a question and the conversation so far and gives a text. It has no state of its own, knows no session,
no queue and no wire of HeyGen's.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol

import aiohttp
from attrs import field, frozen

logger = logging.getLogger(__name__)


@frozen(kw_only=True, eq=False)
class Turn:
    """One turn of the conversation: what the user said, or what the avatar really got to say."""

    speaker: Literal["user", "avatar"]
    text: str


class Brain(Protocol):
    """Something that can answer. It must not raise: a failure is an answer too, an honest one."""

    async def reply(self, text: str, history: Sequence[Turn]) -> str:
        """Answer ``text``; ``history`` holds the turns before it, oldest first."""


@frozen(kw_only=True)
class BrainSettings:
    """Where an OpenAI-compatible endpoint is, if there is one: ``url`` as in ``http://127.0.0.1:11434/v1``."""

    url: str = ""
    key: str = field(default="", repr=False)
    model: str = "gpt-4o-mini"
    deadline: float = 15.0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> BrainSettings:
        """Read ``HEYGEN_SIMULATOR_LLM_URL``, ``_KEY`` and ``_MODEL``."""
        return cls(
            url=environment.get("HEYGEN_SIMULATOR_LLM_URL", ""),
            key=environment.get("HEYGEN_SIMULATOR_LLM_KEY", ""),
            model=environment.get("HEYGEN_SIMULATOR_LLM_MODEL", "") or "gpt-4o-mini",
        )


def load_brain(knowledge: str = "", settings: BrainSettings | None = None) -> Brain:
    """A brain shaped by ``knowledge``: the configured endpoint's, else the rule-based one."""
    settings = BrainSettings.from_environment() if settings is None else settings
    return OpenAIBrain(knowledge, settings) if settings.url else RuleBrain(knowledge)


class RuleBrain:
    """Answers by a few rules and the sentences of its knowledge. Deterministic: equal histories, equal answers."""

    def __init__(self, knowledge: str = "") -> None:
        self._name = _first_match(_OWN_NAME, [knowledge])
        self._facts = [sentence for sentence in _sentences(knowledge) if not _INSTRUCTION.match(sentence)]

    async def reply(self, text: str, history: Sequence[Turn]) -> str:
        """Answer ``text``; see :class:`Brain`."""
        user = _first_match(_USER_NAME, [text, *(turn.text for turn in reversed(history) if turn.speaker == "user")])
        return self._about_names(text, user) or self._from_knowledge(text) or self._small_talk(text, user)

    def _about_names(self, text: str, user: str) -> str:
        if _ASKS_OWN_NAME.search(text):
            return f"My name is {self._name}." if self._name else "I am the simulated avatar of this session."
        if _ASKS_USER_NAME.search(text):
            return f"Your name is {user}." if user else "You have not told me your name yet."
        if _USER_NAME.search(text):
            return (
                f"Nice to meet you, {user}. " + (f"I am {self._name}. " if self._name else "") + "How can I help you?"
            )
        return ""

    def _from_knowledge(self, text: str) -> str:
        """The sentence of the knowledge that shares the most words of meaning with the question."""
        asked = _stems(text)
        shared = [len(asked & _stems(fact)) for fact in self._facts]
        return self._facts[shared.index(max(shared))] if any(shared) else ""

    def _small_talk(self, text: str, user: str) -> str:
        addressed = f", {user}" if user else ""
        for pattern, answer in _SMALL_TALK:
            if pattern.search(text):
                return answer.format(user=addressed, name=f" I am {self._name}." if self._name else "")
        return f"I don't know the answer to that{addressed}. You said: {text.strip().rstrip('.!?')}."


class OpenAIBrain:
    """Asks an OpenAI-compatible ``/chat/completions`` endpoint, and says so when it does not answer."""

    def __init__(self, knowledge: str, settings: BrainSettings) -> None:
        self._knowledge = knowledge or "You are a friendly video avatar."
        self._settings = settings

    async def reply(self, text: str, history: Sequence[Turn]) -> str:
        """Answer ``text``; see :class:`Brain`."""
        try:
            return await self._complete(text, history)
        except (aiohttp.ClientError, asyncio.TimeoutError, ValueError, LookupError, TypeError) as error:
            logger.warning("the language model at %s gave no answer: %r", self._settings.url, error)
            return "I am sorry, my language model did not answer. Please ask me again."

    async def _complete(self, text: str, history: Sequence[Turn]) -> str:
        messages = [
            {"role": "system", "content": f"{self._knowledge}\n{_SPEAKING_STYLE}"},
            *({"role": _ROLES[turn.speaker], "content": turn.text} for turn in history),
            {"role": "user", "content": text},
        ]
        headers = {"Authorization": f"Bearer {self._settings.key}"} if self._settings.key else {}
        deadline = aiohttp.ClientTimeout(total=self._settings.deadline)
        # A session per question: answers are rare, and nothing is left open when the avatar's session ends.
        async with aiohttp.ClientSession(timeout=deadline, headers=headers) as http:
            url = f"{self._settings.url.rstrip('/')}/chat/completions"
            async with http.post(url, json={"model": self._settings.model, "messages": messages}) as response:
                response.raise_for_status()
                answer = (await response.json(content_type=None))["choices"][0]["message"]["content"]
        if not isinstance(answer, str) or not answer.strip():
            raise ValueError(f"the answer has no text: {answer!r}")
        return answer.strip()


_ROLES = {"user": "user", "avatar": "assistant"}
_SPEAKING_STYLE = "Your answer is spoken aloud: one to three plain sentences, no lists, no markup."

_NAME = r"(?-i:([A-ZÀ-Þ][\w'’-]*(?: [A-ZÀ-Þ][\w'’-]*)?))"
_OWN_NAME = re.compile(rf"\b(?:your name is|you are called|you are|you're|named) {_NAME}", re.IGNORECASE)
_USER_NAME = re.compile(rf"\b(?:my name is|my name's|i am called|call me|i am|i'm) {_NAME}", re.IGNORECASE)
_ASKS_OWN_NAME = re.compile(r"\b(?:what(?:'s| is) your name|who are you|who am i talking to)\b", re.IGNORECASE)
_ASKS_USER_NAME = re.compile(r"\b(?:what(?:'s| is) my name|who am i|remember my name)\b", re.IGNORECASE)
# A prompt's orders to the avatar are not facts to be quoted at the user.
_INSTRUCTION = re.compile(
    r"(?:you are|you're|your|you|act|always|never|do not|don't|be|keep|speak|answer|respond|please|use)\b",
    re.IGNORECASE,
)

_SMALL_TALK = tuple(
    (re.compile(pattern, re.IGNORECASE), answer)
    for pattern, answer in (
        (r"\b(?:hello|hi|hey|good (?:morning|afternoon|evening))\b", "Hello{user}!{name} How can I help you today?"),
        (r"\bhow are you\b", "I am very well{user}, thank you for asking. How are you?"),
        (r"\b(?:thanks|thank you)\b", "You are welcome{user}!"),
        (r"\b(?:bye|goodbye|see you)\b", "Goodbye{user}. It was good to talk to you."),
    )
)
_COMMON_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        a about am an and any are as at be by can could did do does for from give has have he her him his how i
        in is it its know like many may me much my of on or our please say she so some tell than that the their
        them there they this to us want was we were what when where which who whom why will with would you your
        """,
    )
)


def _first_match(pattern: re.Pattern[str], texts: Iterable[str]) -> str:
    return next((match[1] for text in texts if (match := pattern.search(text))), "")


def _sentences(text: str) -> list[str]:
    pieces = (piece.strip(" \t-*#•") for piece in re.split(r"(?<=[.!?])\s+|\n+", text))
    return [piece for piece in pieces if piece]


def _stems(text: str) -> frozenset[str]:
    """The words of meaning, without the endings by which a question and its answer differ."""
    words = (word.removesuffix("'s") for word in re.findall(r"[^\W_]+(?:'\w+)?", text.lower()))
    return frozenset(re.sub(r"(?<=\w{3})(?:ing|ed|es|s|e)$", "", word) for word in words if word not in _COMMON_WORDS)
