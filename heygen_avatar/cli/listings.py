"""``heygen-avatar avatars``, ``voices``, ``contexts``: what a session can be started with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click
from attrs import asdict

from heygen_avatar.cli.options import account, account_options, json_option
from heygen_avatar.cli.printing import print_json, print_table
from heygen_avatar.records import Record


@click.command()
@account_options
@json_option
def avatars(service: str | None, base_path: str | None, as_json: bool) -> None:
    """List the avatars that --avatar takes."""
    with account(service, base_path).client() as client:
        show(client.avatars.list(), ("id", "name", "status", "public"), "There are no avatars.", as_json=as_json)


@click.command()
@click.option("--spoken", metavar="LANGUAGE", help="Only voices of this language, as the list names it.")
@account_options
@json_option
def voices(spoken: str | None, service: str | None, base_path: str | None, as_json: bool) -> None:
    """List the voices that --voice takes."""
    with account(service, base_path).client() as client:
        fitting = [
            voice
            for voice in client.voices.list()
            if spoken is None or voice.language.casefold() == spoken.strip().casefold()
        ]
        show(fitting, ("id", "name", "language", "gender"), "There are no such voices.", as_json=as_json)


@click.command()
@account_options
@json_option
def contexts(service: str | None, base_path: str | None, as_json: bool) -> None:
    """List what avatars can be told to know: LiveAvatar's contexts, HeyGen's knowledge bases."""
    with account(service, base_path).client() as client:
        show(client.contexts.list(), ("id", "name"), "There are no contexts.", as_json=as_json)


def show(records: Iterable[Record], columns: Sequence[str], nothing: str, *, as_json: bool) -> None:
    """Records as a table, or as a JSON list with all that is known of each."""
    rows = [asdict(record, filter=lambda attribute, _: attribute.name != "raw") for record in records]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, columns, nothing=nothing)
