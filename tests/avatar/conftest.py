"""Avatars of the shared simulator, started or not, and stopped when their test ends."""

import pytest

from heygen_avatar import StreamingAvatar


@pytest.fixture
def make_avatar(simulator):
    made = []

    def make(**settings):
        avatar = StreamingAvatar(**{"api_key": simulator.api_key, "base_path": simulator.base_path, **settings})
        made.append(avatar)
        return avatar

    yield make
    for avatar in made:
        avatar.stop_avatar()


@pytest.fixture
def avatar(make_avatar):
    avatar = make_avatar()
    avatar.create_start_avatar(avatar_name="default", quality="low")
    return avatar
