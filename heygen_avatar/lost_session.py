"""A create call whose reply was lost: the service may have made a session, which costs, and whose id nobody here knows.

It is looked for in the account's list and stopped, but only if it is certainly ours: other programs of the account make
sessions too, and in doubt nothing is stopped; the service's idle timeout ends what is left. Streaming v1 knows no mark
that a session could be given, so all of these have to hold:

- The list has exactly one session that was made while our call was under way, that nobody has started, and that no
  other avatar of this process owns.
- Our token has been used: it is refused for a session that cannot exist. A token is good for one create call and
  belongs to that call's session (v1 reference §1.1), so a create call was made with ours, and nobody else has it.
- The service takes that token, not the account's key, for the stop call.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Container

from attrs import evolve

from .errors import APIConnectionError, APIError, AuthenticationError, HeyGenError
from .protocols import ListedSession, Protocol, RestCall, WireError
from .rest import RestClient

__all__ = ["LostSession", "may_have_happened"]

log = logging.getLogger("heygen_avatar.cleanup")

CLOCKS_DIFFER = 5.0
"""Seconds by which the service's clock may differ from ours; by more, and nothing is found."""

CALL_TIMEOUT = 10.0


def may_have_happened(error: BaseException) -> bool:
    """Whether a create call that failed like this may have made a session all the same."""
    if isinstance(error, APIConnectionError):
        return error.sent
    return isinstance(error, (WireError, APIError)) and getattr(error, "status", 500) >= 500


class LostSession:
    """Made when the create call is about to be sent."""

    def __init__(self, rest: RestClient, protocol: Protocol, token: str | None) -> None:
        self._rest = rest
        self._protocol = protocol
        self._token = token
        self._asked_at = time.time()

    def stop(self, others: Container[str | None]) -> bool:
        """Find and stop it; false where that was not certain, or not possible. ``others`` are not the one.

        Blocks; never raises.
        """
        listing = self._protocol.list_sessions()
        if listing is None:
            return True
        try:
            if self._token is not None and self._rest.api_key:
                return self._stop(listing, others)
        except (HeyGenError, WireError) as error:
            log.debug("looking for a lost session failed: %s", error)
        log.warning(
            "the reply to the create call was lost: a session may have been made whose id is not known here, and "
            "which session of the account that would be is not certain; the service's idle timeout will end it"
        )
        return False

    def _stop(self, listing: RestCall, others: Container[str | None]) -> bool:
        until = time.time()
        listed = self._protocol.read_sessions(self._rest.call(listing, timeout=CALL_TIMEOUT))
        unclaimed = [one for one in listed if one.is_new and one.session_id not in others]
        if not unclaimed:
            log.info("the reply to the create call was lost, and the account's list shows no session that it had made")
            return True
        candidates = [one for one in unclaimed if self._was_made_meanwhile(one, until)]
        if len(candidates) != 1 or not self._token_is_used():
            raise APIConnectionError(f"{len(candidates)} sessions may be the one")
        found = candidates[0].session_id
        self._ask(self._protocol.stop(found))
        log.info("session %s, whose create call had lost its reply, was found in the account's list and stopped", found)
        return True

    def _was_made_meanwhile(self, one: ListedSession, until: float) -> bool:
        made = one.created_at
        return made is not None and self._asked_at - CLOCKS_DIFFER <= made <= until + CLOCKS_DIFFER

    def _token_is_used(self) -> bool:
        try:
            self._ask(self._protocol.stop(str(uuid.uuid4())))
        except AuthenticationError:
            return True
        except APIError:
            return False
        return False

    def _ask(self, call: RestCall) -> None:
        # By the token alone: with the key, the service would stop anybody's session.
        self._rest.call(evolve(call, auth="token"), token=self._token, timeout=CALL_TIMEOUT)
