"""When checks call a server down, and when up again."""

import pytest

from proxy.upstream.health import Health
from proxy.upstream.verification import Outcome, StepName, Verification
from tests.support import defaults

CHECK = defaults.health_check("echo", rise=2, fall=3, called_aet="PACS")


def verdicts(outcomes: list[Outcome], *, health: Health | None = None, down: bool = False) -> list[bool]:
    """The verdict after each check, one a second."""
    health = health or Health(CHECK)
    found = []
    for second, outcome in enumerate(outcomes):
        down = health.learn(Verification(outcome), float(second), down=down)
        found.append(down)
    return found


OK, DEAD = Outcome.OK, Outcome.TIMEOUT


def test_the_first_check_decides_alone() -> None:
    assert verdicts([DEAD]) == [True]
    assert verdicts([OK], down=True) == [False]


def test_later_ones_need_so_many_in_a_row() -> None:
    assert verdicts([OK, DEAD, DEAD, OK, DEAD, DEAD, DEAD]) == [False] * 6 + [True]
    assert verdicts([DEAD, OK, DEAD, OK, OK]) == [True, True, True, True, False]


REFUSALS = {Outcome.REJECTED, Outcome.CONTEXT_REFUSED}


@pytest.mark.parametrize("refusal", sorted(REFUSALS))
def test_a_server_that_refuses_the_check_is_alive(refusal: Outcome) -> None:
    assert verdicts([DEAD, refusal, refusal]) == [True, True, False]


def test_a_server_that_accepts_the_association_and_aborts_the_echo_is_alive() -> None:
    """So does Orthanc where `DicomAlwaysAllowEcho` is off and `DicomAlwaysAllowStore` on."""
    assert not Health(CHECK).learn(Verification(Outcome.ABORTED, failed_step=StepName.ECHO), 0.0, down=False)
    assert Health(CHECK).learn(Verification(Outcome.ABORTED, failed_step=StepName.ASSOCIATE), 0.0, down=False)


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - REFUSALS - {Outcome.OK}))
def test_everything_else_is_a_failure(outcome: Outcome) -> None:
    assert verdicts([outcome]) == [True]


def test_failures_count_anew_behind_an_association_that_was_accepted() -> None:
    health = Health(CHECK)
    assert verdicts([DEAD, DEAD, DEAD, DEAD], health=health)[-1]
    assert verdicts([DEAD, DEAD, DEAD], health=health, down=False) == [False, False, True]


def test_good_since_the_first_of_the_latest_successes() -> None:
    health = Health(CHECK)
    assert health.good_since is None
    verdicts([OK], health=health)
    assert health.good_since is None
    health.learn(Verification(OK), 5.0, down=False)
    assert health.good_since == 0.0
    health.learn(Verification(OK), 7.0, down=False)
    assert health.good_since == 5.0
    health.learn(Verification(DEAD), 9.0, down=False)
    assert health.good_since is None
