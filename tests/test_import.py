"""What importing the package costs, what it offers, and what it says where an optional package is missing."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
import textwrap

import pytest

import heygen_avatar

MISSING = """
import sys

class Missing:
    '''Makes packages look as if nobody had installed them.'''

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
from heygen_avatar import MissingExtraError
try:
{body}
except MissingExtraError as error:
    print(error.extra, "|", error)
"""


def child(source: str) -> str:
    """What a fresh Python process prints; nothing else may reach its standard error."""
    ran = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=30, check=False, cwd="/"
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.strip()


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    return set(child("import sys, heygen_avatar; print(*sys.modules)").split())


@pytest.mark.parametrize(
    "heavy", ["livekit", "numpy", "av", "google.protobuf", "PIL", "websockets", "aiohttp", "aiortc", "sounddevice"]
)
def test_importing_the_package_does_not_load(heavy: str, loaded: set[str]) -> None:
    assert not {name for name in loaded if name == heavy or name.startswith(heavy + ".")}


def test_importing_the_package_starts_no_thread_and_touches_no_signal() -> None:
    assert (
        child("""
import signal, threading
import heygen_avatar
print(threading.active_count(), signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
""")
        == "1 True"
    )


def test_importing_the_package_leaves_the_users_logging_alone() -> None:
    assert (
        child("""
import logging
import heygen_avatar
root = logging.getLogger()
print(root.handlers, logging.getLogger("heygen_avatar").level, logging.getLogger("heygen_avatar").propagate)
""")
        == "[] 0 True"
    )


def test_every_name_the_package_offers_exists_and_is_offered_once() -> None:
    assert [name for name in heygen_avatar.__all__ if not hasattr(heygen_avatar, name)] == []
    assert len(heygen_avatar.__all__) == len(set(heygen_avatar.__all__))


def test_the_star_import_gives_what_the_documentation_names() -> None:
    namespace: dict[str, object] = {}
    exec("from heygen_avatar import *", namespace)
    assert {"StreamingAvatar", "StreamingEvents", "AvatarQuality", "TaskType", "TaskMode", "stop_all"} <= set(namespace)


@pytest.mark.parametrize(
    "module",
    [
        module.name
        for module in pkgutil.iter_modules(heygen_avatar.__path__, "heygen_avatar.")
        if module.name not in ("heygen_avatar.__main__", "heygen_avatar.guardian_process")
    ],
)
def test_every_module_can_be_the_first_one_imported(module: str) -> None:
    assert child(f"import {module}; print('imported')") == "imported"


@pytest.mark.parametrize(
    ("missing", "body", "extra"),
    [
        pytest.param({"aiohttp"}, "import heygen_avatar.simulator", "simulator", id="simulator-aiohttp"),
        pytest.param({"aiortc"}, "import heygen_avatar.simulator", "simulator", id="simulator-aiortc"),
        pytest.param({"PIL"}, "import heygen_avatar.simulator", "simulator", id="simulator-Pillow"),
        pytest.param(
            {"espeakng_loader"},
            "from heygen_avatar.simulator import Simulator; Simulator(voice='espeak')",
            "voice",
            id="voice",
        ),
        pytest.param(
            {"av"},
            "from heygen_avatar.media.recorder import Recording; Recording(None, 'a.mp4')",
            "record",
            id="record",
        ),
        pytest.param(
            {"PIL"},
            "from heygen_avatar.media.frames import VideoFrame; "
            "VideoFrame(width=1, height=1, timestamp=0.0, data=bytes(3)).to_image()",
            "notebook",
            id="notebook",
        ),
    ],
)
def test_a_missing_extra_is_named_with_the_command_that_installs_it(missing: set[str], body: str, extra: str) -> None:
    printed = child(MISSING.format(missing=missing, body=textwrap.indent(body, "    ")))
    assert printed.startswith(f"{extra} | ")
    assert f'pip install "heygen-avatar[{extra}]"' in printed


def test_the_command_says_which_extra_it_lacks_without_a_traceback() -> None:
    printed = child(
        MISSING.format(
            missing={"aiohttp"},
            body="    from heygen_avatar.cli import main\n    sys.stderr = sys.stdout\n    print(main(['simulator']))",
        )
    )
    assert 'needs the extra "simulator"' in printed
    assert printed.endswith("1")


def test_a_frame_in_a_notebook_without_pillow_shows_its_plain_self() -> None:
    assert (
        child(
            MISSING.format(
                missing={"PIL"},
                body="    from heygen_avatar.media.frames import VideoFrame\n"
                "    print(VideoFrame(width=1, height=1, timestamp=0.0, data=bytes(3))._repr_png_())",
            )
        )
        == "None"
    )
