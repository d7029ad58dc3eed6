"""``heygen-avatar doctor``: what keeps avatars from working here, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator

import click
from attrs import asdict

from heygen_avatar.cli import checkup
from heygen_avatar.cli.failures import ExitCode
from heygen_avatar.cli.options import Account, account_options, chosen_service, json_option, key_of
from heygen_avatar.cli.printing import Status, print_json

_MARKS = {"good": ("ok", "green"), "note": ("--", "yellow"), "bad": ("NO", "red")}


@click.command()
@account_options
@json_option
def doctor(service: str | None, base_path: str | None, as_json: bool) -> int:
    """Look at versions, keys, network, sound, notebook and open sessions; say what to do. It starts no session.

    Lines marked -- are worth knowing; those marked NO keep sessions from working, and make the exit code 1.
    """
    status = Status()
    status.show("looking around")
    findings = []
    for finding in _findings(service, base_path):
        findings.append(finding)
        status.clear()
        if not as_json:
            _print(finding)
        status.show("looking on")
    status.clear()
    if as_json:
        print_json([asdict(finding) for finding in findings])
    return ExitCode.FAILED if any(finding.verdict == "bad" for finding in findings) else ExitCode.DONE


def _findings(name: str | None, base_path: str | None) -> Iterator[checkup.Finding]:
    service = chosen_service(name)
    yield from checkup.versions()
    yield from checkup.keys(service)
    yield from checkup.service_network(checkup.base_path_of(service, base_path))
    key = key_of(service)
    if key is not None:
        yield from checkup.account_facts(Account(service=service, base_path=base_path, api_key=key))
    yield from checkup.audio()
    yield from checkup.notebook()


def _print(finding: checkup.Finding) -> None:
    mark, colour = _MARKS[finding.verdict]
    click.echo(f"{click.style(mark, fg=colour)}  {finding.about}: {finding.found}")
    if finding.remedy:
        click.echo(f"      {finding.remedy}")
