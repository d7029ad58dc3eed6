"""Starting and stopping again and again leaves nothing behind."""

import gc
import threading

import psutil

from heygen_avatar import StreamingAvatar
from tests.programs import eventually

CYCLES = 30


def test_cycles_of_start_and_stop_leave_no_thread_descriptor_or_subscription(simulator):
    from livekit.rtc._ffi_client import FfiClient

    def cycle():
        with StreamingAvatar(api_key=simulator.api_key, base_path=simulator.base_path) as avatar:
            avatar.create_start_avatar(quality="low")
            avatar.snapshot()

    def inventory():
        gc.collect()
        return (
            sum(thread.name.startswith("heygen-") for thread in threading.enumerate()),
            psutil.Process().num_fds(),
            len(FfiClient.instance.queue._subscribers),
        )

    for _ in range(3):  # what is made once for all: pools, the media thread, LiveKit's own
        cycle()
    before = inventory()
    for _ in range(CYCLES):
        cycle()
    settled = eventually(lambda: all(now <= then + 1 for now, then in zip(inventory(), before, strict=True)), 10)
    assert settled, f"before {before}, after {CYCLES} cycles {inventory()}"
