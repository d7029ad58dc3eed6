"""Microphone and loudspeaker on a sound card that PulseAudio makes up: each test is a program of its own, since
PortAudio looks for devices once in a process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from heygen_avatar.media.echo import Echo
from tests.ears import write_wave
from tests.simulator.sounds import spoken
from tests.sound_card import SoundCard, plugged_in


@pytest.fixture(scope="module")
def sound_card(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoundCard]:
    with plugged_in(tmp_path_factory.mktemp("pulse")) as card:
        yield card


@pytest.fixture
def speech(tmp_path: Path) -> str:
    return str(write_wave(tmp_path / "speech.wav", spoken("Hello there, how are you today?")))


def test_a_microphone_gives_what_it_hears_ten_milliseconds_at_a_time(sound_card: SoundCard, speech: str) -> None:
    heard = sound_card.run(
        """
        microphone = Microphone(noise_suppression=False, auto_gain_control=False)
        player, frames = None, []
        for frame in microphone:
            player = player or play(os.environ["SPEECH"])
            frames.append(frame)
            if len(frames) == 200:
                microphone.close()
        samples = np.concatenate([frame.samples[:, 0] for frame in frames]).astype(int)
        player.wait()
        sizes = sorted({frame.num_samples for frame in frames})
        print(json.dumps([microphone.sample_rate, sizes, int(abs(samples).max()), microphone.dropped, len(frames)]))
        """,
        SPEECH=speech,
    )
    rate, sizes, peak, dropped, count = heard
    assert (rate, sizes, dropped, count) == (48_000, [480], 0, 200)
    assert peak > 3_000


@pytest.mark.parametrize("transport", ["websocket", "livekit"])
def test_who_speaks_into_the_microphone_is_answered(sound_card: SoundCard, speech: str, transport: str) -> None:
    answered = sound_card.run(
        """
        with Simulator(stt=RecogniserSettings(engine="none")) as simulator, StreamingAvatar(
            api_key=simulator.api_key, base_path=simulator.base_path
        ) as avatar:
            avatar.create_start_avatar(quality="low", voice_chat_transport=os.environ["TRANSPORT"])
            voice = avatar.start_voice_chat()
            voice.utterance.stop()
            threading.Timer(0.5, lambda: play(os.environ["SPEECH"]).wait()).start()
            exchange = avatar.ask(Microphone())
            print(json.dumps([exchange.question, exchange.answer, str(exchange.speech.outcome)]))
        """,
        SPEECH=speech,
        TRANSPORT=transport,
    )
    question, answer, outcome = answered
    assert question and answer and outcome == "spoken"


def test_a_loudspeaker_plays_the_avatar_and_falls_silent_at_an_interrupt(sound_card: SoundCard) -> None:
    levels = sound_card.run("""
        recorder = subprocess.Popen(
            ["parec", "--device=speaker.monitor", "--rate=48000", "--channels=1", "--format=s16le", "--raw",
             "--latency-msec=20"], stdout=subprocess.PIPE
        )
        with Simulator() as simulator, StreamingAvatar(
            api_key=simulator.api_key, base_path=simulator.base_path
        ) as avatar:
            avatar.create_start_avatar(quality="low")
            with avatar.play() as playback:
                avatar.speak("This is quite a long sentence, and it will be interrupted.", task_type="repeat")
                avatar.wait_for(StreamingEvents.AVATAR_TALKING_MESSAGE)
                speaking = np.frombuffer(recorder.stdout.read(96_000 * 2), np.int16)
                avatar.interrupt()
                recorder.stdout.read(96_000 // 2)
                silent = np.frombuffer(recorder.stdout.read(96_000), np.int16)
                assert playback.playing
            assert not playback.playing
        recorder.terminate()
        recorder.stdout.close()
        print(json.dumps([max(loudness(speaking)), max(loudness(silent))]))
    """)
    speaking, silent = levels
    assert speaking > 500
    assert silent < 50


def test_what_the_loudspeaker_plays_is_taken_out_of_what_the_microphone_hears(sound_card: SoundCard) -> None:
    """The microphone hears nothing but the loudspeaker: without its echo there is little left."""
    with_echo, without = sound_card.run(
        """
        def listen(**how):
            microphone = Microphone(noise_suppression=False, auto_gain_control=False, **how)
            frames, over = [], threading.Event()
            def read():
                for frame in microphone:
                    frames.append(frame.samples[:, 0].copy())
                    if over.is_set():
                        microphone.close()
            reader = threading.Thread(target=read)
            reader.start()
            avatar.say("This is quite a long sentence, so that there is something to hear and to take out again.")
            over.set()
            reader.join()
            # The canceller needs a second to learn the way of the sound.
            return float(np.median(loudness(np.concatenate(frames))[1:-1]))

        with Simulator() as simulator, StreamingAvatar(
            api_key=simulator.api_key, base_path=simulator.base_path
        ) as avatar:
            avatar.create_start_avatar(quality="low")
            with avatar.play():
                print(json.dumps([listen(echo_cancellation=False), listen()]))
        """,
        PULSE_SOURCE="speaker.monitor",
    )
    assert with_echo > 500
    assert without < 0.1 * with_echo


def test_a_device_that_is_not_there_is_named_with_those_that_are(sound_card: SoundCard) -> None:
    message = sound_card.run("""
        try:
            Microphone("No such device")
        except MediaError as error:
            print(json.dumps(str(error)))
    """)
    assert "Microphone('No such device')" in message
    assert "pulse" in message


def test_without_portaudio_the_system_library_is_named() -> None:
    program = """
import sys

class Broken:
    '''sounddevice, as it is where PortAudio is missing.'''
    def find_spec(self, name, path=None, target=None):
        if name == "sounddevice":
            raise OSError("PortAudio library not found")

sys.meta_path.insert(0, Broken())
from heygen_avatar import MediaError, Microphone
try:
    Microphone()
except MediaError as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert "needs the system library PortAudio" in ran.stdout
    assert "libportaudio2" in ran.stdout or sys.platform != "linux"


def test_two_loudspeakers_are_heard_as_one() -> None:
    echo, first, second = Echo(), object(), object()
    ear = echo.listen()
    echo.played(first, np.array([100, 30_000], np.int16).tobytes())
    echo.played(second, np.array([20, 30_000], np.int16).tobytes())
    echo.played(first, np.array([7, 8], np.int16).tobytes())
    mixed, alone = ear.heard()
    assert np.frombuffer(mixed, np.int16).tolist() == [120, 32_767]
    assert np.frombuffer(alone, np.int16).tolist() == [7, 8]
    assert ear.heard() == []


def test_a_microphone_that_is_not_read_keeps_only_what_is_fresh() -> None:
    echo, player = Echo(), object()
    ear = echo.listen()
    for number in range(200):
        echo.played(player, bytes([number]))
    assert [block[0] for block in ear.heard()] == list(range(150, 200))
    ear.close()
    echo.played(player, b"\0")
    assert ear.heard() == []
