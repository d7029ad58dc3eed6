"""Where each service is and how its key is found: arguments first, then the environment."""

from __future__ import annotations

import os

from attrs import frozen

from .errors import ConfigurationError
from .models import Service
from .rest import RestClient

__all__ = ["rest_client"]


@frozen(kw_only=True)
class Place:
    """A service's address, and the environment variables that name another one and the key."""

    base_path: str
    base_path_variable: str
    key_variable: str


PLACES = {
    Service.HEYGEN: Place(
        base_path="https://api.heygen.com", base_path_variable="HEYGEN_BASE_PATH", key_variable="HEYGEN_API_KEY"
    ),
    Service.LIVEAVATAR: Place(
        base_path="https://api.liveavatar.com",
        base_path_variable="LIVEAVATAR_BASE_PATH",
        key_variable="LIVEAVATAR_API_KEY",
    ),
}


def rest_client(
    service: Service | str, *, token: str | None = None, api_key: str | None = None, base_path: str | None = None
) -> RestClient:
    """A client of ``service`` with what it was given, or else with what the environment has.

    Raises:
        ConfigurationError: there is no such service, neither a token nor a key, or one that cannot be sent.
    """
    try:
        place = PLACES[Service(service)]
    except ValueError:
        names = ", ".join(repr(known.value) for known in Service)
        raise ConfigurationError(f"service must be one of {names}, not {service!r}") from None
    if token is None and api_key is None:
        api_key = os.environ.get(place.key_variable) or None
    if token is None and api_key is None:
        raise ConfigurationError(f"give token= or api_key=, or set {place.key_variable} in the environment")
    base_path = base_path or os.environ.get(place.base_path_variable) or place.base_path
    return RestClient(base_path, token=token, api_key=api_key)
