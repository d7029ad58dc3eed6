"""``python -m benchmarks``: run the benchmarks, print one table, write it down where asked to."""

from __future__ import annotations

import argparse
import compileall
import importlib
import sys
import time
from pathlib import Path

import heygen_avatar
from benchmarks.measure import Row, Spread, machine

GROUPS = (
    "imports",
    "starting",
    "browser",
    "events",
    "rest",
    "media",
    "sessions",
    "interrupting",
    "lite",
    "voice",
    "slopes",
)
"""Modules of this package with a ``rows(quick=...)``, in the order of the table."""

INTRODUCTION = """# Benchmarks

`make bench ARGS=--write` wrote this. A ratio is ours by theirs, both having done the same work in turns against one
simulator, a process of its own; it is the median of the rounds, and half of them lie in the middle half. What the rows
mean, and why where a goal is missed, is in docs/performance.md.
"""

RESULTS = Path(__file__).with_name("RESULTS.md")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("group", nargs="*", help=f"which to run (default: all): {', '.join(GROUPS)}")
    parser.add_argument("--quick", action="store_true", help="few rounds: shows that all runs, proves no number")
    parser.add_argument("--write", action="store_true", help=f"write the table to {RESULTS.name}")
    options = parser.parse_args()
    unknown = set(options.group) - set(GROUPS)
    if unknown:
        parser.error(f"no such group: {', '.join(sorted(unknown))}")
    # As pip does with what it installs: where PYTHONDONTWRITEBYTECODE is set, each process would compile a checkout
    # anew, while the other contender's libraries lie compiled in site-packages.
    compileall.compile_dir(str(Path(heygen_avatar.__file__).parent), quiet=2)
    began = time.monotonic()
    rows: list[Row] = []
    notes: list[str] = []
    for name in options.group or GROUPS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        group = importlib.import_module(f"benchmarks.{name}")
        if reason := getattr(group, "missing", lambda: "")():
            notes.append(f"{name} was left out: {reason}")
            continue
        rows += group.rows(quick=options.quick)
    text = report(rows, notes, seconds=time.monotonic() - began, quick=options.quick)
    print(text)
    if options.write:
        RESULTS.write_text(text, encoding="utf-8")
    return 0


def report(rows: list[Row], notes: list[str], *, seconds: float, quick: bool) -> str:
    """The table with what is needed to read it."""
    few = ", with few rounds: no number is proved" if quick else ""
    lines = [
        INTRODUCTION,
        *[f"- {fact}" for fact in machine()],
        f"- the run took {seconds / 60:.0f} minutes{few}",
        "",
        "| what | against | ours | theirs | unit | ratio | middle half | rounds | goal | reached |",
        "| --- | --- | ---: | ---: | --- | ---: | --- | ---: | --- | --- |",
        *[_line(row) for row in rows],
        *[f"\n{note}." for note in notes],
    ]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    ours, theirs = (Spread.of(values).median for values in (row.ours, row.theirs))
    nothing = not any(row.theirs)  # to be measured by: both left nothing behind, say
    goal = "" if row.goal is None else f"{'≥' if row.more_is_better else '≤'} {row.goal:g}"
    cells = [
        row.what,
        row.against,
        f"{ours:,.{row.digits}f}",
        f"{theirs:,.{row.digits}f}",
        row.unit,
        "–" if nothing else f"{row.ratio.median:.2f}",
        "–" if nothing else f"{row.ratio.low:.2f} to {row.ratio.high:.2f}",
        str(len(row.ours)),
        goal,
        row.verdict,
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
