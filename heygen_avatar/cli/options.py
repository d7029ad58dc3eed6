"""Options that several commands share, and what they make: an account to talk to, a session's settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click
from attrs import field, frozen

from heygen_avatar import AvatarQuality, Service, StreamingAvatar, VoiceSetting
from heygen_avatar.cli.failures import NoKeyError
from heygen_avatar.client import Client
from heygen_avatar.services import PLACES

Function = TypeVar("Function", bound=Callable[..., Any])


@frozen(kw_only=True)
class Account:
    """Which account of which service a command is about.

    Attributes:
        base_path: the service's URL, None for what the package chooses.
    """

    service: Service
    base_path: str | None
    api_key: str = field(repr=False)

    def avatar(self) -> StreamingAvatar:
        """An avatar of this account, no session started yet."""
        return StreamingAvatar(api_key=self.api_key, base_path=self.base_path, service=self.service)

    def client(self) -> Client:
        """The account's listings."""
        return Client(api_key=self.api_key, base_path=self.base_path, service=self.service)


def chosen_service(name: str | None) -> Service:
    """The service named, or the one whose key is there; HeyGen's streaming where that does not decide."""
    if name is not None:
        return Service(name)
    only_liveavatar = key_of(Service.LIVEAVATAR) and not key_of(Service.HEYGEN)
    return Service.LIVEAVATAR if only_liveavatar else Service.HEYGEN


def key_of(service: Service) -> str | None:
    """The service's API key, from the environment: an argument would be seen by everyone on this machine."""
    return os.environ.get(key_name(service)) or None


def key_name(service: Service) -> str:
    """The environment variable of the service's key."""
    return PLACES[service].key_variable


def account(service: str | None, base_path: str | None) -> Account:
    """The account that the options and the environment name.

    Raises:
        NoKeyError: there is no key.
    """
    chosen = chosen_service(service)
    key = key_of(chosen)
    if key is None:
        raise NoKeyError(
            f"there is no API key: set {key_name(chosen)} in the environment, or try without an account: "
            "heygen-avatar simulator -- heygen-avatar ..."
        )
    return Account(service=chosen, base_path=base_path, api_key=key)


def account_options(command: Function) -> Function:
    """``--service`` and ``--base-path``."""
    command = click.option(
        "--base-path", metavar="URL", help="The service's URL (default: from the environment, or the real one)."
    )(command)
    return click.option(
        "--service",
        type=click.Choice([service.value for service in Service]),
        help="Which of HeyGen's services (default: the one whose key is set).",
    )(command)


def json_option(command: Function) -> Function:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def session_options(command: Function) -> Function:
    """What a session is started with; goes into the keyword ``settings`` through :func:`settings`."""
    for option in (
        click.option("--language", metavar="CODE", help="A basic code: en, ja, de."),
        click.option("--quality", type=click.Choice([quality.value for quality in AvatarQuality])),
        click.option("--rate", type=click.FloatRange(0.5, 1.5), help="How fast it speaks; 1 is usual."),
        click.option("--voice", metavar="ID", help="heygen-avatar voices lists them (default: the avatar's own)."),
        click.option("--avatar", metavar="ID", default="default", help="heygen-avatar avatars lists them."),
    ):
        command = option(command)
    return account_options(command)


def settings(
    *, avatar: str, voice: str | None, rate: float | None, quality: str | None, language: str | None
) -> dict[str, Any]:
    """The fields of a start request that the session options name."""
    fields: dict[str, Any] = {"avatar_name": avatar, "quality": quality, "language": language}
    if voice is not None or rate is not None:
        fields["voice"] = VoiceSetting(voice_id=voice, rate=rate)
    return fields
