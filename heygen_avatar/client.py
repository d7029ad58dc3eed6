"""The account's side of either service, in plain blocking calls: what sessions can be started with, and what ran."""

from __future__ import annotations

from types import TracebackType

from .deadline import check_timeout
from .liveavatar_resources import Embeddings, LLMConfigurations, Memories, Secrets
from .models import Service
from .resources import Account, Avatars, Contexts, Sessions, Voices
from .services import rest_client

__all__ = ["Client"]


class Client:
    """An account of HeyGen's streaming or of LiveAvatar.

    ::

        with Client(api_key="...", service=Service.LIVEAVATAR) as client:
            for avatar in client.avatars.list():
                print(avatar.id, avatar.name)
            print(client.account.credits().left)

    Listings are iterators: the next page is fetched when it is looked at. Sessions are not started here but by
    :class:`StreamingAvatar`.

    Args:
        api_key: the account's key. Default: ``$HEYGEN_API_KEY``, or ``$LIVEAVATAR_API_KEY``.
        service: whose account it is; each has keys of its own.
        base_path: the service's URL. Default: ``$HEYGEN_BASE_PATH`` or ``$LIVEAVATAR_BASE_PATH``, then the service's.
        timeout: the deadline of each call in seconds.

    Attributes:
        avatars, voices, sessions, account: on both services.
        contexts: LiveAvatar's contexts, HeyGen's knowledge bases.
        secrets, llm_configurations, memories, embeddings: LiveAvatar's alone.

    Raises:
        ConfigurationError: no key, or one that cannot be sent.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        service: Service | str = Service.HEYGEN,
        base_path: str | None = None,
        timeout: float = 30.0,
    ) -> None:
        self._rest = rest_client(service, api_key=api_key, base_path=base_path)
        asking = (Service(service), self._rest, check_timeout(timeout))
        self.service = Service(service)
        self.avatars = Avatars(*asking)
        self.voices = Voices(*asking)
        self.contexts = Contexts(*asking)
        self.sessions = Sessions(*asking)
        self.account = Account(*asking)
        self.secrets = Secrets(*asking)
        self.llm_configurations = LLMConfigurations(*asking)
        self.memories = Memories(*asking)
        self.embeddings = Embeddings(*asking)

    def close(self) -> None:
        """Close the connections; further calls are refused."""
        self._rest.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client of {self.service}>"
