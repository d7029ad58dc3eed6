"""Which protocol a session speaks, and what that makes of the request: one decision, taken before anything is sent."""

from __future__ import annotations

from typing import Any

from attrs import evolve, frozen

from ..errors import ConfigurationError, InvalidRequestError
from ..liveavatar import LiveAvatarMode, LiveAvatarOptions
from ..models import Service, StartAvatarRequest, StartAvatarResponse, VoiceChatTransport
from . import Protocol, reading
from .full import FullProtocol
from .lite import LiteProtocol
from .streaming import StreamingProtocol
from .token_request import adapted, connector_in, options_of

__all__ = ["Choice", "choose"]


@frozen(kw_only=True)
class Choice:
    """A protocol with the request as it can fulfil it, and in words what it has no place for."""

    protocol: Protocol
    request: StartAvatarRequest
    omitted: tuple[str, ...] = ()


def choose(
    service: Service,
    request: StartAvatarRequest,
    *,
    token: str | None = None,
    session: StartAvatarResponse | None = None,
) -> Choice:
    """The protocol for a session that is to be created, or for one that exists: as ``session``, or as its ``token``.

    Raises:
        InvalidRequestError: the service can do nothing with the request.
    """
    if service is Service.HEYGEN:
        if request.liveavatar is not None:
            raise InvalidRequestError(
                "liveavatar= is for StreamingAvatar(service=Service.LIVEAVATAR), and this is HeyGen's streaming; "
                "nothing was sent"
            )
        return Choice(protocol=StreamingProtocol(), request=request)
    if session is not None and not session.session_token:
        raise ConfigurationError(f"session {session.session_id} comes without its session_token, which drives it")
    token = session.session_token if session is not None else token
    if token is not None:
        return _of_token(token, request, told=session is not None)
    request, omitted = adapted(request)
    return Choice(protocol=_liveavatar(request), request=request, omitted=tuple(omitted))


def _of_token(token: str, request: StartAvatarRequest, *, told: bool) -> Choice:
    """A token carries all that its session was asked for: what is asked for here comes too late.

    The official client too learns a session's mode from its token (liveavatar §1.1).
    """
    order = reading.jwt_claims(token).get("start_session_data")
    options = _options_in(order) if isinstance(order, dict) else options_of(request)
    late = [] if told or request == StartAvatarRequest() else ["all fields of the request: the token has its own"]
    request = evolve(request, voice_chat_transport=VoiceChatTransport.LIVEKIT, liveavatar=options)
    return Choice(protocol=_liveavatar(request), request=request, omitted=tuple(late))


def _options_in(order: dict[str, Any]) -> LiveAvatarOptions:
    sandbox = order.get("is_sandbox") is True
    if order.get("mode") != LiveAvatarMode.LITE.value:
        return LiveAvatarOptions(sandbox=sandbox)
    try:
        return LiveAvatarOptions(mode=LiveAvatarMode.LITE, sandbox=sandbox, connector=connector_in(order))
    except (InvalidRequestError, TypeError):  # a connector that this version does not know in this form
        return LiveAvatarOptions(sandbox=sandbox)


def _liveavatar(request: StartAvatarRequest) -> Protocol:
    if options_of(request).has_socket:
        return LiteProtocol(request)
    return FullProtocol(request)
