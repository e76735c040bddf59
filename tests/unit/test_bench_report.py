"""The table of the bench: runs that differ by more than a quarter are shown as what they are."""

import pytest

from tests.bench import report
from tests.bench.report import Row


@pytest.mark.parametrize(
    ("runs", "noisy"),
    [
        ([1.0, 1.25, 1.1], False),
        ([1.0, 1.26, 1.1], True),
        ([1.0], False),
        ([0.0, 0.0], False),
        ([0.0, 0.1], True),
        ([-1.0, -0.5], True),
    ],
)
def test_runs_that_differ_by_more_than_a_quarter_are_noisy(runs: list[float], noisy: bool) -> None:
    row = Row("work", "ms", {"dicomgate": [1.0, 1.0], "nginx": runs}, 2.0)
    assert row.to_dict()["noisy"] is noisy
    assert row.to_dict()["noisy_at"] == (["nginx"] if noisy else [])
    assert ("~" in row.line()) is noisy
    assert "~1.00" not in row.line()


def test_a_verdict_on_noisy_figures_says_so() -> None:
    quiet = Row("work", "ms", {"dicomgate": [1.0, 1.1], "nginx": [2.0, 2.1]}, 0.85)
    noisy = Row("work", "ms", {"dicomgate": [1.0, 1.1], "nginx": [2.0, 2.9]}, 0.85)
    assert quiet.line().endswith("met")
    assert noisy.line().endswith("met, noisy")
    assert len(noisy.line()) - len(quiet.line()) == len(", noisy")


def test_the_worst_round_of_the_balance_is_its_figure_and_no_noise() -> None:
    worst, mean = report.balance("work", {"dicomgate": [{"most": 4}, {"most": 6}]})
    assert (worst.values, mean.values) == ({"dicomgate": 6}, {"dicomgate": 5})
    assert not worst.noisy and not mean.noisy
    assert worst.met is False
