"""What is answered: by rules, and by an endpoint that speaks OpenAI's protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from heygen_avatar.simulator.brain import BrainSettings, OpenAIBrain, RuleBrain, Turn, load_brain

SHOP = """You are Ada, the host of a bicycle shop. Always be friendly.
The shop opens at nine in the morning and closes at six.
- Repairs take about two days.
A new bicycle costs between 400 and 3,000 euros."""


def ask(question: str, knowledge: str = SHOP, history: Sequence[Turn] = ()) -> str:
    return asyncio.run(RuleBrain(knowledge).reply(question, history))


def user(text: str) -> Turn:
    return Turn(speaker="user", text=text)


@pytest.mark.parametrize(
    ("question", "fact"),
    [
        ("When do you open in the morning?", "The shop opens at nine in the morning and closes at six."),
        ("How long does a repair take?", "Repairs take about two days."),
        ("What's the cost of bicycles?", "A new bicycle costs between 400 and 3,000 euros."),
    ],
)
def test_the_sentence_of_the_knowledge_that_fits_best_is_the_answer(question: str, fact: str) -> None:
    assert ask(question) == fact


def test_other_knowledge_gives_another_answer() -> None:
    assert ask("When do you open?", "We open at noon.") == "We open at noon."


def test_the_prompts_orders_are_not_quoted() -> None:
    assert "Always be" not in ask("Are you always friendly?")


@pytest.mark.parametrize("knowledge", ["You are Ada.", "Your name is Ada. Be kind.", "An assistant named Ada."])
def test_the_avatar_has_the_name_its_prompt_gives_it(knowledge: str) -> None:
    assert ask("What is your name?", knowledge) == "My name is Ada."


def test_an_avatar_without_a_name_does_not_make_one_up() -> None:
    assert ask("Who are you?", "You are a helpful assistant.") == "I am the simulated avatar of this session."


def test_the_users_name_is_greeted() -> None:
    assert ask("Hello, my name is Grace Hopper.") == "Nice to meet you, Grace Hopper. I am Ada. How can I help you?"


def test_the_users_name_is_remembered() -> None:
    history = [user("I'm Grace."), Turn(speaker="avatar", text="Nice to meet you, Grace."), user("Thanks")]
    assert ask("What's my name?", history=history) == "Your name is Grace."


def test_the_avatars_own_words_do_not_name_the_user() -> None:
    history = [Turn(speaker="avatar", text="I am Ada.")]
    assert ask("What is my name?", history=history) == "You have not told me your name yet."


def test_a_greeting_is_greeted() -> None:
    assert ask("Hi!") == "Hello! I am Ada. How can I help you today?"


def test_not_knowing_is_admitted() -> None:
    assert ask("Can penguins fly?") == "I don't know the answer to that. You said: Can penguins fly."


def test_without_knowledge_there_is_still_an_answer() -> None:
    assert ask("Can penguins fly?", "").startswith("I don't know")


@pytest.mark.parametrize("question", ["", " ", "?!", "😀", "a" * 1000])
def test_any_question_has_an_answer(question: str) -> None:
    assert ask(question).strip()


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def endpoint(handler: Handler) -> AsyncIterator[str]:
    """A real server that handles ``POST /v1/chat/completions``; its URL."""
    application = web.Application()
    application.router.add_post("/v1/chat/completions", handler)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}/v1/"
    finally:
        await runner.cleanup()


def ask_endpoint(handler: Handler, *, deadline: float = 10.0, history: Sequence[Turn] = ()) -> str:
    async def conversation() -> str:
        async with endpoint(handler) as url:
            settings = BrainSettings(url=url, key="secret", model="small", deadline=deadline)
            return await OpenAIBrain("You are Ada.", settings).reply("Why?", history)

    return asyncio.run(conversation())


def completion(content: Any) -> web.Response:
    return web.json_response({"choices": [{"message": {"role": "assistant", "content": content}}]})


def test_an_endpoints_answer_is_the_answer() -> None:
    async def handler(request: web.Request) -> web.Response:
        return completion(" Because. ")

    assert ask_endpoint(handler) == "Because."


def test_an_endpoint_is_told_the_prompt_the_conversation_and_the_question() -> None:
    heard: list[Any] = []

    async def handler(request: web.Request) -> web.Response:
        heard.extend((request.headers["Authorization"], await request.json()))
        return completion("Because.")

    ask_endpoint(handler, history=[user("Hello"), Turn(speaker="avatar", text="Hi.")])
    authorization, body = heard
    assert authorization == "Bearer secret"
    assert body["model"] == "small"
    roles = [(message["role"], message["content"]) for message in body["messages"]]
    assert roles[1:] == [("user", "Hello"), ("assistant", "Hi."), ("user", "Why?")]
    assert roles[0][0] == "system"
    assert roles[0][1].startswith("You are Ada.")


@pytest.mark.parametrize(
    "response",
    [
        lambda: web.json_response({"error": "overloaded"}, status=503),
        lambda: web.Response(text="<html>"),
        lambda: web.json_response({"choices": []}),
        lambda: web.json_response(["not", "an", "object"]),
        lambda: completion(None),
        lambda: completion("  "),
    ],
    ids=["status", "no JSON", "no choices", "no object", "no content", "empty"],
)
def test_an_endpoint_that_fails_is_admitted(response: Callable[[], web.Response]) -> None:
    async def handler(request: web.Request) -> web.Response:
        return response()

    assert ask_endpoint(handler).startswith("I am sorry, my language model did not answer.")


def test_an_endpoint_that_hangs_is_given_up_at_the_deadline() -> None:
    async def handler(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError("nobody sets the event")

    assert ask_endpoint(handler, deadline=0.2).startswith("I am sorry")


def test_an_endpoint_that_is_not_there_is_admitted() -> None:
    async def handler(request: web.Request) -> web.Response:
        return completion("Because.")

    async def conversation() -> str:
        async with endpoint(handler) as url:
            pass
        return await OpenAIBrain("", BrainSettings(url=url)).reply("Why?", ())

    assert asyncio.run(conversation()).startswith("I am sorry")


def test_a_brain_is_the_endpoint_if_there_is_one() -> None:
    assert isinstance(load_brain("", BrainSettings(url="http://127.0.0.1:1/v1")), OpenAIBrain)
    assert isinstance(load_brain("", BrainSettings()), RuleBrain)


def test_the_environment_configures_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"URL": "http://127.0.0.1:1/v1", "KEY": "secret", "MODEL": "small"}.items():
        monkeypatch.setenv(f"HEYGEN_SIMULATOR_LLM_{name}", value)
    settings = BrainSettings.from_environment()
    assert (settings.url, settings.key, settings.model) == ("http://127.0.0.1:1/v1", "secret", "small")
    assert isinstance(load_brain(""), OpenAIBrain)


def test_the_key_is_not_shown() -> None:
    assert "secret" not in repr(BrainSettings(url="http://127.0.0.1:1", key="secret"))
