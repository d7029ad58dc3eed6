"""A websocket that comes back when it is lost, and says so; against a real websocket server."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from heygen_avatar import channel as channel_module
from heygen_avatar.channel import Channel
from heygen_avatar.errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    HeyGenError,
    ServerError,
    SessionClosedError,
    SessionStateError,
)
from tests.socket_service import QUOTED, TOKEN, Service

FLOOD = os.urandom(8_000_000)
"""More than fits between two sockets, and nothing that compresses."""


class Client:
    """A channel, and what it told."""

    def __init__(self, url: str, hear: Callable[[bytes | str], None] | None = None) -> None:
        self.told: asyncio.Queue[Any] = asyncio.Queue()
        self.channel = Channel(
            url,
            name="chat socket of session s1",
            hear=hear or self.told.put_nowait,
            lost=lambda: self.told.put_nowait("lost"),
            found=lambda: self.told.put_nowait("found"),
            failed=self.told.put_nowait,
        )

    async def next(self) -> Any:
        return await asyncio.wait_for(self.told.get(), 10)

    async def __aenter__(self) -> Client:
        await self.channel.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "REOPEN_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(channel_module, "REOPEN_LONGEST_PAUSE", 0.02)
    monkeypatch.setattr(channel_module, "REOPEN_ATTEMPTS", 3)
    monkeypatch.setattr(channel_module, "CLOSE_TIMEOUT", 0.5)


def run(scenario: Callable[[Service], Coroutine[Any, Any, None]]) -> None:
    async def all_of_it() -> None:
        async with Service() as service:
            await scenario(service)
        leftover = [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("chat socket")]
        assert not leftover

    asyncio.run(asyncio.wait_for(all_of_it(), 20))


async def refused(doing: Awaitable[None]) -> HeyGenError:
    with pytest.raises(HeyGenError) as caught:
        await doing
    return caught.value


def test_what_is_sent_arrives_as_it_is() -> None:
    async def scenario(service: Service) -> None:
        async with Client(service.url) as client:
            await client.channel.send(b"\x0a\x01")
            await client.channel.send("text")
            assert [await service.heard.get(), await service.heard.get()] == [b"\x0a\x01", "text"]

    run(scenario)


def test_what_the_service_sends_is_handed_up_whatever_it_is() -> None:
    async def scenario(service: Service) -> None:
        async with Client(service.url) as client:
            connection = await service.connections.get()
            for garbage in ("", "{", "\x00", b"\xff\xfe", json.dumps([1])):
                await connection.send(garbage)
                assert await client.next() == garbage

    run(scenario)


def test_a_listener_that_raises_does_not_deafen_the_channel(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(service: Service) -> None:
        heard: asyncio.Queue[bytes | str] = asyncio.Queue()

        def hear(message: bytes | str) -> None:
            if message == "bad":
                raise RuntimeError("a defect of the listener")
            heard.put_nowait(message)

        async with Client(service.url, hear):
            connection = await service.connections.get()
            await connection.send("bad")
            await connection.send("good")
            assert await asyncio.wait_for(heard.get(), 5) == "good"

    run(scenario)
    assert "a defect of the listener" in caplog.text


@pytest.mark.parametrize("how", ["closed", "cut"])
def test_a_lost_socket_comes_back_and_both_are_told(how: str) -> None:
    async def scenario(service: Service) -> None:
        async with Client(service.url) as client:
            first = await service.connections.get()
            if how == "closed":
                await first.close()
            else:
                first.transport.abort()
            assert [await client.next(), await client.next()] == ["lost", "found"]
            await client.channel.send("again")
            assert await service.heard.get() == "again"

    run(scenario)


def test_sending_waits_for_the_socket_to_come_back_and_sends_once() -> None:
    async def scenario(service: Service) -> None:
        service.refusals = []
        async with Client(service.url) as client:
            first = await service.connections.get()
            service.refusals = [(503, "not now")]
            first.transport.abort()
            assert await client.next() == "lost"
            sending = asyncio.create_task(client.channel.send("patient"))
            await asyncio.sleep(0)
            assert not sending.done()
            service.refusals = []
            await sending
            await client.channel.send("after")
            assert [await service.heard.get(), await service.heard.get()] == ["patient", "after"]

    run(scenario)


def test_it_gives_up_after_its_attempts_and_says_why() -> None:
    async def scenario(service: Service) -> None:
        async with Client(service.url) as client:
            first = await service.connections.get()
            service.refusals = [(503, "not now")]
            first.transport.abort()
            assert await client.next() == "lost"
            error = await client.next()
            assert isinstance(error, ServerError)
            assert service.requests == 1 + channel_module.REOPEN_ATTEMPTS
            assert await refused(client.channel.send("x")) is error

    run(scenario)


def test_a_service_that_is_gone_is_named_without_the_token() -> None:
    async def scenario(service: Service) -> None:
        async with Client(service.url) as client:
            await service.shut()
            assert await client.next() == "lost"
            error = await client.next()
            assert isinstance(error, APIConnectionError)
            assert f"127.0.0.1:{service.port}" in str(error)
            assert shows_no_secret(error)
            await service.open()

    run(scenario)


def test_a_sender_that_waits_wakes_when_the_channel_gives_up() -> None:
    async def scenario(service: Service) -> None:
        async with Client(service.url) as client:
            first = await service.connections.get()
            service.refusals = [(500, "")]
            first.transport.abort()
            assert await client.next() == "lost"
            assert isinstance(await refused(client.channel.send("never")), ServerError)
            assert service.heard.empty()

    run(scenario)


def test_a_service_that_closes_every_socket_at_once_is_not_asked_for_ever() -> None:
    async def scenario(service: Service) -> None:
        async def slam() -> None:
            while True:
                await (await service.connections.get()).close()

        slamming = asyncio.create_task(slam())
        async with Client(service.url) as client:
            told = []
            while not told or told[-1] in ("lost", "found"):
                told.append(await client.next())
            assert isinstance(told[-1], APIConnectionError)
            assert service.requests == 1 + channel_module.REOPEN_ATTEMPTS
        slamming.cancel()

    run(scenario)


def test_a_socket_that_stayed_open_has_its_attempts_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "SETTLED", 0.0)

    async def scenario(service: Service) -> None:
        async with Client(service.url) as client:
            for _ in range(2 * channel_module.REOPEN_ATTEMPTS):
                (await service.connections.get()).transport.abort()
                assert [await client.next(), await client.next()] == ["lost", "found"]

    run(scenario)


def test_a_refused_token_is_an_authentication_error() -> None:
    async def scenario(service: Service) -> None:
        service.refusals = [(401, '{"code":400112,"message":"Unauthorized"}')]
        error = await refused(Client(service.url).channel.open())
        assert isinstance(error, AuthenticationError)
        assert (error.status, error.code) == (401, 400112)

    run(scenario)


def test_a_refused_token_ends_the_attempts_at_once() -> None:
    async def scenario(service: Service) -> None:
        async with Client(service.url) as client:
            first = await service.connections.get()
            service.refusals = [(401, "")]
            first.transport.abort()
            assert await client.next() == "lost"
            assert isinstance(await client.next(), AuthenticationError)
            assert service.requests == 2

    run(scenario)


def test_a_session_that_is_over_ends_the_attempts_at_once() -> None:
    async def scenario(service: Service) -> None:
        async with Client(service.url) as client:
            first = await service.connections.get()
            service.refusals = [(400, '{"code":10005,"message":"session state wrong: closed"}')]
            first.transport.abort()
            assert await client.next() == "lost"
            assert isinstance(await client.next(), SessionStateError)
            assert service.requests == 2

    run(scenario)


def test_an_address_without_a_socket_is_told_by_its_status() -> None:
    async def scenario(service: Service) -> None:
        service.refusals = [(200, "hello")]
        error = await refused(Client(service.url).channel.open())
        assert isinstance(error, APIConnectionError)
        assert "HTTP 200" in str(error)

    run(scenario)


def test_a_port_where_nobody_listens_is_a_connection_error_in_the_systems_words() -> None:
    async def scenario(service: Service) -> None:
        await service.shut()
        error = await refused(Client(service.url).channel.open())
        assert isinstance(error, APIConnectionError)
        assert "refused" in str(error) or "Connect call failed" in str(error)
        await service.open()

    run(scenario)


def test_a_host_without_a_name_is_a_connection_error() -> None:
    async def scenario(service: Service) -> None:
        error = await refused(Client("ws://no-such-host.invalid/chat?session_token=x").channel.open())
        assert isinstance(error, APIConnectionError)
        assert "no-such-host.invalid" in str(error)

    run(scenario)


def test_a_server_that_accepts_and_stays_silent_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "ATTEMPT_TIMEOUT", 0.1)

    async def scenario(_: Service) -> None:
        held: list[asyncio.StreamWriter] = []
        silent = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
        port = silent.sockets[0].getsockname()[1]
        error = await refused(Client(f"ws://127.0.0.1:{port}/?session_token={QUOTED}").channel.open())
        assert isinstance(error, APITimeoutError)
        assert shows_no_secret(error)
        for writer in held:
            writer.transport.abort()
        silent.close()

    run(scenario)


def test_a_server_that_is_no_http_server_is_a_connection_error_without_the_token() -> None:
    async def scenario(_: Service) -> None:
        def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail.example ESMTP\r\n")
            writer.close()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        error = await refused(Client(f"ws://127.0.0.1:{port}/?session_token={QUOTED}").channel.open())
        assert isinstance(error, APIConnectionError)
        assert shows_no_secret(error)
        server.close()

    run(scenario)


@pytest.mark.parametrize("echo", [TOKEN, QUOTED])
def test_a_refusal_that_quotes_the_token_is_redacted(echo: str) -> None:
    async def scenario(service: Service) -> None:
        service.refusals = [(401, json.dumps({"code": 400112, "message": f"bad token {echo}"}))]
        error = await refused(Client(service.url).channel.open())
        assert isinstance(error, AuthenticationError)
        assert "bad token" in str(error)
        assert shows_no_secret(error)

    run(scenario)


def test_no_log_record_has_the_token_at_any_level(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(service: Service) -> None:
        async with Client(service.url) as client:
            first = await service.connections.get()
            service.refusals = [(401, f"no: {TOKEN}")]
            first.transport.abort()
            assert await client.next() == "lost"
            await client.next()

    # As somebody does who hunts a defect: everything, also where websockets' own switch says otherwise.
    for name in (None, "websockets", "websockets.client", "heygen_avatar", "heygen_avatar.media.websocket"):
        caplog.set_level(logging.DEBUG, name)
    run(scenario)
    assert caplog.records
    assert all(TOKEN not in text and QUOTED not in text for text in map(repr, everything(caplog.records)))


def test_closing_ends_the_socket_and_refuses_what_is_sent_later() -> None:
    async def scenario(service: Service) -> None:
        async with Client(service.url) as client:
            connection = await service.connections.get()
            await client.channel.close()
            await asyncio.wait_for(connection.wait_closed(), 5)
            assert isinstance(await refused(client.channel.send("late")), SessionClosedError)
            assert client.told.empty(), "its own end is no loss"

    run(scenario)


def test_closing_twice_is_closing_once() -> None:
    async def scenario(service: Service) -> None:
        async with Client(service.url) as client:
            await asyncio.gather(client.channel.close(), client.channel.close())
            await client.channel.close()
            assert client.told.empty(), "its own end is no loss"
            assert isinstance(await refused(client.channel.send("late")), SessionClosedError)

    run(scenario)


def test_closing_is_bounded_against_a_service_that_takes_nothing_any_more() -> None:
    async def scenario(service: Service) -> None:
        async with Client(service.url) as client:
            connection = await service.connections.get()
            connection.transport.pause_reading()
            flood = asyncio.create_task(client.channel.send(FLOOD))
            await asyncio.wait([flood], timeout=0.1)
            assert not flood.done()
            began = asyncio.get_running_loop().time()
            await client.channel.close()
            assert asyncio.get_running_loop().time() - began < 2
            assert isinstance(await refused(flood), APIConnectionError)
            connection.transport.abort()

    run(scenario)


def test_closing_while_the_socket_is_lost_stops_the_attempts() -> None:
    async def scenario(service: Service) -> None:
        async with Client(service.url) as client:
            first = await service.connections.get()
            service.refusals = [(503, "")]
            first.transport.abort()
            assert await client.next() == "lost"
            waiting = asyncio.create_task(client.channel.send("never"))
            await asyncio.sleep(0)
            await client.channel.close()
            assert isinstance(await refused(waiting), SessionClosedError)

    run(scenario)


def test_a_socket_that_opens_after_close_is_closed_again() -> None:
    async def scenario(service: Service) -> None:
        client = Client(service.url)
        opening = asyncio.create_task(client.channel.open())
        await asyncio.sleep(0)
        await client.channel.close()
        assert isinstance(await refused(opening), SessionClosedError)
        connection = await service.connections.get()
        await asyncio.wait_for(connection.wait_closed(), 5)

    run(scenario)


def test_breaking_off_in_the_middle_of_a_message_sends_nothing_twice() -> None:
    async def scenario(service: Service) -> None:
        async with Client(service.url) as client:
            first = await service.connections.get()
            first.transport.pause_reading()
            sending = asyncio.create_task(client.channel.send(FLOOD))
            await asyncio.wait([sending], timeout=0.1)
            first.transport.abort()
            error = await refused(sending)
            assert isinstance(error, APIConnectionError)
            assert error.sent
            assert [await client.next(), await client.next()] == ["lost", "found"]
            await client.channel.send("next")
            assert await service.heard.get() == "next"

    run(scenario)


def shows_no_secret(error: BaseException) -> bool:
    """Neither the error nor what it drags along shows the token: texts, attributes, chained exceptions."""
    return all(TOKEN not in text and QUOTED not in text for text in map(repr, everything([error])))


def everything(things: list[Any]) -> list[Any]:
    """Those and what can be reached from them by attribute, one step: enough for what libraries attach."""
    found = []
    for thing in things:
        while thing is not None:
            found += [str(thing), vars(thing), getattr(thing, "args", ())]
            found += [vars(value) for value in vars(thing).values() if hasattr(value, "__dict__")]
            if isinstance(thing, BaseException):
                found += traceback.format_exception(thing)
                thing = thing.__cause__ or thing.__context__
            else:
                thing = None
    return found
