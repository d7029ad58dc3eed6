"""What ``doctor`` looks at. Each look gives findings; none raises, none shows a secret, none starts a session."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from attrs import frozen

from heygen_avatar import HeyGenError, Service
from heygen_avatar.cli import network
from heygen_avatar.cli.options import Account, key_of
from heygen_avatar.media.devices import sound_library
from heygen_avatar.services import PLACES

Verdict = Literal["good", "note", "bad"]

_EXTRAS = {
    "simulator": "aiortc",
    "record": "av",
    "audio": "sounddevice",
    "notebook": "anywidget",
    "voice": "espeakng_loader",
    "stt": "pocketsphinx",
}

_LIVEKIT = "heygen-feapbkvq"
"""The subdomain under which both services' rooms were seen (LiveAvatar reference: network)."""


@frozen(kw_only=True)
class Finding:
    """One line: what was looked at, what was found, what to do. Only ``bad`` keeps sessions from working."""

    about: str
    verdict: Verdict
    found: str
    remedy: str = ""


def versions() -> Iterator[Finding]:
    """This package, Python, what it stands on."""
    yield Finding(about="heygen-avatar", verdict="good", found=version("heygen-avatar"))
    supported = (3, 10) <= sys.version_info[:2] <= (3, 13)
    yield Finding(
        about="python",
        verdict="good" if supported else "note",
        found=f"{platform.python_implementation()} {platform.python_version()} on {platform.platform(terse=True)}",
        remedy="" if supported else "it is tested with CPython 3.10 to 3.13",
    )
    for package in ("livekit", "requests", "websockets"):
        yield Finding(about=package, verdict="good", found=version(package))
    missing = [extra for extra, package in _EXTRAS.items() if _version(package) is None]
    there = ", ".join(extra for extra in _EXTRAS if extra not in missing) or "none"
    yield Finding(
        about="extras",
        verdict="note" if missing else "good",
        found=there,
        remedy=f'for more: pip install "heygen-avatar[{",".join(missing)}]"' if missing else "",
    )


def keys(service: Service) -> Iterator[Finding]:
    """Whether the keys are there; never what they are."""
    for each, place in PLACES.items():
        there, needed = key_of(each) is not None, each is service
        yield Finding(
            about=place.key_variable,
            verdict="good" if there else "bad" if needed else "note",
            found="set" if there else "not set",
            remedy="" if there else f"set it to use {each}; the simulator needs none",
        )


def service_network(base_path: str) -> Iterator[Finding]:
    """The service, and where its rooms are, by name and port."""
    host, port, encrypted = network.endpoint(base_path)
    wrong = network.resolve(host) or network.connect(host, port, encrypted=encrypted)
    yield _reached(f"{host}:{port}", wrong, "let it through the firewall, or give another --base-path", verdict="bad")
    if _is_local(host):
        yield Finding(about="livekit rooms", verdict="good", found="a simulator has them at the same address")
        return
    for name in (f"{_LIVEKIT}.livekit.cloud", f"{_LIVEKIT}.turn.livekit.cloud"):
        wrong = network.resolve(name) or network.connect(name, 443, encrypted=True)
        yield _reached(f"{name}:443", wrong, "let TCP 443 to *.livekit.cloud through the firewall", verdict="bad")
    name = f"{_LIVEKIT}.host.livekit.cloud"
    wrong = network.resolve(name) or network.answers_stun(name, 3478)
    remedy = "let UDP 3478 to *.host.livekit.cloud through; without it, media go by TCP and lag"
    yield _reached(f"{name}:3478/udp", wrong, remedy, verdict="note")


def account_facts(account: Account) -> Iterator[Finding]:
    """Whether the key is accepted, what is left, what is open."""
    with account.client() as client:
        try:
            left = client.account.credits().left
            open_sessions = [session.id for session in client.sessions.active()]
        except HeyGenError as error:
            yield Finding(about="account", verdict="bad", found=str(error), remedy="check the key and its service")
            return
    has_credits = left is None or left > 0
    yield Finding(
        about="account",
        verdict="good" if has_credits else "bad",
        found="the key is accepted" + ("" if left is None else f", {left:g} credits are left"),
        remedy="" if has_credits else "buy credits, or use the simulator",
    )
    yield Finding(
        about="open sessions",
        verdict="note" if open_sessions else "good",
        found=", ".join(open_sessions) or "none",
        remedy="they cost: heygen-avatar sessions stop-all ends them" if open_sessions else "",
    )


def audio() -> Iterator[Finding]:
    """The default microphone and loudspeaker."""
    try:
        library = sound_library("sound")
    except HeyGenError as error:
        yield Finding(about="audio", verdict="note", found=str(error))  # which says what to install
        return
    for kind, about in (("input", "microphone"), ("output", "loudspeaker")):
        try:
            found, remedy = str(library.query_devices(kind=kind)["name"]), ""
        except (library.PortAudioError, ValueError):
            found, remedy = "none", "plug one in, or use files: Samples, SoundFile, record()"
        yield Finding(about=about, verdict="note" if remedy else "good", found=found, remedy=remedy)


def notebook() -> Iterator[Finding]:
    """What an avatar in a notebook's cell needs."""
    parts = {name: _version(name) for name in ("anywidget", "ipykernel", "jupyterlab")}
    there = ", ".join(f"{name} {found}" for name, found in parts.items() if found) or "nothing installed"
    missing = [name for name, found in parts.items() if found is None]
    yield Finding(
        about="notebook",
        verdict="note" if missing else "good",
        found=there,
        remedy='for avatars in cells: pip install "heygen-avatar[notebook]" jupyterlab' if missing else "",
    )


def base_path_of(service: Service, given: str | None) -> str:
    """Where the service is, as the package finds it."""
    place = PLACES[service]
    return given or os.environ.get(place.base_path_variable) or place.base_path


def _reached(about: str, wrong: str | None, remedy: str, *, verdict: Verdict) -> Finding:
    if wrong is None:
        return Finding(about=about, verdict="good", found="reached")
    return Finding(about=about, verdict=verdict, found=wrong, remedy=remedy)


def _is_local(host: str) -> bool:
    return host in ("127.0.0.1", "localhost", "::1")


def _version(package: str) -> str | None:
    try:
        return version(package.replace("_", "-"))
    except PackageNotFoundError:
        return None
