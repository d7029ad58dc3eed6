"""The benchmarks' own arithmetic, and that a group runs from the command line to the table."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks import slopes
from benchmarks.child import apart
from benchmarks.measure import Row, Spread, simulator, turns


def row(ours: list[float], theirs: list[float], *, goal: float | None = None, more_is_better: bool = False) -> Row:
    return Row(
        what="work", unit="ms", ours=ours, theirs=theirs, against="others", goal=goal, more_is_better=more_is_better
    )


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    # A round in which the machine was busy slows both; medians of each taken apart would not know it.
    assert row([1.0, 20.0, 3.0], [2.0, 40.0, 1.0]).ratio == Spread(median=0.5, low=0.5, high=1.75)


def test_one_round_is_its_own_spread() -> None:
    assert row([3.0], [2.0]).ratio == Spread(median=1.5, low=1.5, high=1.5)


def test_a_round_in_which_the_other_took_nothing_has_no_ratio() -> None:
    assert row([1.0, 1.0], [0.0, 2.0]).ratio.median == 0.5


@pytest.mark.parametrize(
    ("ours", "more_is_better", "goal", "verdict"),
    [(9.0, False, 0.9, "yes"), (9.1, False, 0.9, "no"), (9.5, True, 0.95, "yes"), (9.4, True, 0.95, "no")],
)
def test_a_goal_is_reached_on_its_side(ours: float, more_is_better: bool, goal: float, verdict: str) -> None:
    assert row([ours], [10.0], goal=goal, more_is_better=more_is_better).verdict == verdict


def test_the_contenders_take_turns_at_being_first() -> None:
    order: list[str] = []
    assert turns(2, lambda: order.append("ours"), lambda: order.append("theirs")) == ([None, None], [None, None])
    assert order == ["ours", "theirs", "theirs", "ours"]


def test_a_slope_is_not_bent_by_one_outlier() -> None:
    assert slopes.slope([0.0, 2.0, 4.0, 600.0, 8.0, 10.0]) == 2.0


def test_the_simulator_of_the_benchmarks_is_another_process_that_ends() -> None:
    import requests

    with simulator() as address:
        assert requests.get(f"{address.base_path}/simulator/sessions", timeout=10).json() == []
    with pytest.raises(requests.ConnectionError):
        requests.get(address.base_path, timeout=10)


def test_what_fails_in_a_contender_is_told() -> None:
    with pytest.raises(RuntimeError, match="unexpected keyword argument 'wrong'"):
        apart(slopes.cycle_ours, wrong=1)


def test_a_group_ends_in_a_table() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "imports"],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    [line] = [line for line in done.stdout.splitlines() if line.startswith("| import |")]
    assert line.split("|")[8].strip() == "3"  # rounds
