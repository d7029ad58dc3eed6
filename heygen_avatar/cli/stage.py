"""What ``say`` and ``chat`` do around a session: find out first whether all is there, start, play the sound."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from heygen_avatar import MediaError, MissingExtraError, StreamingAvatar
from heygen_avatar.cli.options import Account
from heygen_avatar.cli.printing import Status


def require(package: str, *, extra: str, feature: str) -> None:
    """Miss a package before a session is paid for, not after.

    Raises:
        MissingExtraError: it is not installed.
    """
    if find_spec(package) is None:
        raise MissingExtraError(extra=extra, feature=feature)


@contextmanager
def on_stage(account: Account, settings: dict[str, Any], status: Status) -> Iterator[StreamingAvatar]:
    """An avatar whose session is started, and ended whatever happens."""
    with account.avatar() as avatar:
        status.show("starting a session")
        try:
            avatar.create_start_avatar(**settings)
        finally:
            status.clear()
        try:
            yield avatar
        finally:
            status.show("ending the session")
    status.clear()


@contextmanager
def aloud(avatar: StreamingAvatar, status: Status) -> Iterator[None]:
    """The avatar on the loudspeaker, where there is one."""
    try:
        playback = avatar.play()
    except (MissingExtraError, MediaError) as error:
        status.note(f"no sound: {error}")
        yield
        return
    with playback:
        yield
