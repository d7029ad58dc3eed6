"""Tokens that open a LiveKit room (JWT, signed with the server's key)."""

from __future__ import annotations

import datetime

from livekit import api


def room_token(*, api_key: str, api_secret: str, room: str, identity: str, ttl: float) -> str:
    """A token to join ``room`` as ``identity``, publish, subscribe and send data; valid ``ttl`` seconds."""
    grants = api.VideoGrants(room_join=True, room=room, can_publish=True, can_subscribe=True, can_publish_data=True)
    token = api.AccessToken(api_key, api_secret).with_identity(identity).with_name(identity)
    return token.with_grants(grants).with_ttl(datetime.timedelta(seconds=ttl)).to_jwt()
