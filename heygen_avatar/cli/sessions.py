"""``heygen-avatar sessions``: the account's sessions, whoever started them, and the way to end them."""

from __future__ import annotations

from itertools import islice

import click
from attrs import asdict

from heygen_avatar import HeyGenError, NotFoundError, SessionStateError
from heygen_avatar.cli.failures import exit_code
from heygen_avatar.cli.listings import show
from heygen_avatar.cli.options import account, account_options, json_option
from heygen_avatar.cli.printing import print_json, print_table
from heygen_avatar.client import Client
from heygen_avatar.records import SessionRecord

_COLUMNS = ("id", "status", "mode", "created_at", "duration", "end_reason")


@click.group()
def sessions() -> None:
    """The account's sessions: which run and cost, what was said, how to end them."""


@sessions.command("list")
@click.option("--past", metavar="N", type=click.IntRange(min=1), help="The last N that are over, instead.")
@account_options
@json_option
def list_sessions(past: int | None, service: str | None, base_path: str | None, as_json: bool) -> None:
    """List the sessions that run, and cost."""
    with account(service, base_path).client() as client:
        chosen = client.sessions.active() if past is None else islice(client.sessions.history(), past)
        show(chosen, _COLUMNS, "No session is open." if past is None else "There was none.", as_json=as_json)


@sessions.command("show")
@click.argument("session_id")
@account_options
@json_option
def show_session(session_id: str, service: str | None, base_path: str | None, as_json: bool) -> None:
    """Say what the service knows of one session."""
    with account(service, base_path).client() as client:
        facts = asdict(_session(client, session_id), filter=lambda attribute, _: attribute.name != "raw")
    if as_json:
        print_json(facts)
    else:
        rows = [{"fact": name.replace("_", " "), "value": value} for name, value in facts.items() if value]
        print_table(rows, ("fact", "value"), nothing="")


@sessions.command()
@click.argument("session_id")
@account_options
@json_option
def transcript(session_id: str, service: str | None, base_path: str | None, as_json: bool) -> None:
    """Print what was said in a session (LiveAvatar, mode FULL)."""
    with account(service, base_path).client() as client:
        remarks = client.sessions.transcript(session_id).remarks
    if as_json:
        print_json([asdict(remark, filter=lambda attribute, _: attribute.name != "raw") for remark in remarks])
    else:
        for remark in remarks:
            click.echo(f"{remark.role}: {remark.text}")


@sessions.command()
@click.argument("session_ids", metavar="SESSION_ID...", nargs=-1, required=True)
@account_options
def stop(session_ids: tuple[str, ...], service: str | None, base_path: str | None) -> int:
    """End sessions, and print the ids of those that are ended."""
    with account(service, base_path).client() as client:
        return _stop(client, session_ids)


@sessions.command("stop-all")
@account_options
def stop_all(service: str | None, base_path: str | None) -> int:
    """End every session of the account, also those of other programs, and print their ids."""
    with account(service, base_path).client() as client:
        return _stop(client, [session.id for session in client.sessions.active()], gone_is_done=True)


def _session(client: Client, session_id: str) -> SessionRecord:
    """One session, also one that runs: not every service tells of these by their id."""
    running = next((session for session in client.sessions.active() if session.id == session_id), None)
    return running or client.sessions.get(session_id)


def _stop(client: Client, session_ids: tuple[str, ...] | list[str], *, gone_is_done: bool = False) -> int:
    """One that cannot be ended must not keep the others open: all are tried, the first failure is the exit code."""
    code = 0
    for session_id in session_ids:
        try:
            client.sessions.stop(session_id)
        except HeyGenError as error:
            if not (gone_is_done and isinstance(error, (NotFoundError, SessionStateError))):
                click.echo(f"heygen-avatar: {error}", err=True)
                code = code or exit_code(error)
                continue
        click.echo(session_id)
    return code
