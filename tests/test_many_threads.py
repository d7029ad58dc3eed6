"""Threads that race with one avatar or many; an asyncio program with the avatar on a worker thread."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from heygen_avatar import HeyGenError, SpeechOutcome, StreamingAvatar, StreamingEvents, UsageError, cleanup
from tests.programs import eventually


def where(simulator):
    return {"api_key": simulator.api_key, "base_path": simulator.base_path}


def open_at(simulator):
    return [entry for entry in simulator.sessions() if entry["state"] not in ("closing", "closed")]


def test_threads_that_race_to_start_and_stop_one_avatar_leave_one_session_or_none(make_simulator):
    simulator = make_simulator()
    avatar = StreamingAvatar(**where(simulator))
    ready = threading.Barrier(6)
    surprises = []

    def start():
        ready.wait()
        for _ in range(3):
            try:
                avatar.create_start_avatar(quality="low", timeout=20)
            except HeyGenError:
                pass  # another thread starts it, or stops it
            except BaseException as error:
                surprises.append(error)

    def stop():
        ready.wait()
        for _ in range(6):
            try:
                avatar.stop_avatar()
            except BaseException as error:
                surprises.append(error)

    threads = [threading.Thread(target=work) for work in (start, start, start, stop, stop, stop)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert surprises == []
    assert len(open_at(simulator)) <= 1
    avatar.create_start_avatar(quality="low")
    assert avatar.say("Hi.").outcome is SpeechOutcome.SPOKEN
    avatar.stop_avatar()
    assert eventually(lambda: not open_at(simulator) and not cleanup.open_sessions())


def test_many_avatars_start_speak_and_stop_side_by_side(make_simulator):
    simulator = make_simulator(fps=5)

    def life(number):
        with StreamingAvatar(**where(simulator)) as avatar:
            avatar.create_start_avatar(quality="low", timeout=60)
            outcome = avatar.say(f"I am number {number}.", timeout=40).outcome
            return outcome, [said.text for said in avatar.transcript if f"number {number}" in said.text] != []

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(life, range(8))) == [(SpeechOutcome.SPOKEN, True)] * 8
    assert not open_at(simulator)


def test_one_avatar_may_be_talked_to_from_many_threads(make_simulator):
    simulator = make_simulator()
    with StreamingAvatar(**where(simulator)) as avatar, ThreadPoolExecutor(4) as threads:
        avatar.create_start_avatar(quality="low")
        said = list(threads.map(lambda n: avatar.say(f"Text {n}.", timeout=60), range(4)))
        assert {speech.outcome for speech in said} == {SpeechOutcome.SPOKEN}
        assert len({speech.task_id for speech in said}) == 4


def test_two_threads_cannot_start_one_avatar_at_the_same_time(make_simulator):
    simulator = make_simulator()
    simulator.inject({"kind": "delay", "path": "/v1/streaming.new", "seconds": 0.5})
    with StreamingAvatar(**where(simulator)) as avatar, ThreadPoolExecutor(1) as other:
        starting = other.submit(avatar.create_start_avatar, quality="low")
        assert eventually(lambda: simulator.fault_calls()[0]["struck"])
        with pytest.raises(UsageError, match="being started"):
            avatar.create_start_avatar(quality="low")
        starting.result(20)


def test_an_asyncio_program_uses_the_avatar_from_a_worker_thread(make_simulator):
    simulator = make_simulator()

    async def program():
        loop = asyncio.get_running_loop()
        heard = asyncio.Queue()
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.02)
                ticks += 1

        ticking = asyncio.create_task(tick())
        avatar = StreamingAvatar(**where(simulator))
        avatar.on(
            StreamingEvents.AVATAR_STOP_TALKING,
            lambda event: loop.call_soon_threadsafe(heard.put_nowait, event.task_id),
        )
        await asyncio.to_thread(avatar.create_start_avatar, quality="low")
        try:
            speech = await asyncio.to_thread(avatar.say, "Hello from a coroutine.")
            assert await asyncio.wait_for(heard.get(), 5) == speech.task_id
        finally:
            await asyncio.to_thread(avatar.stop_avatar)
            ticking.cancel()
        return ticks

    assert asyncio.run(program()) > 30  # the program's own loop was never held up
    assert not open_at(simulator)
