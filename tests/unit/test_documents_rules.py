"""From a reason to its rule and its tests: what tests/documents finds in the code, and the tables kept by hand."""

import itertools
import textwrap

from proxy.policy import Reason
from tests.documents.mentions import files_of_tests, read_tests
from tests.documents.rules import (
    DECIDING,
    NAMING_ONLY,
    NOT_TESTS,
    PASSING_ON,
    is_there,
    naming,
    other_tests,
    places,
    raisers,
    rows_of,
)


def test_the_rules_that_are_listed_by_hand_exist() -> None:
    by_hand = {*NAMING_ONLY, *PASSING_ON, *itertools.chain.from_iterable(DECIDING.values())}
    assert not [place for place in sorted(by_hand) if not is_there(place)]
    assert {place for place, _ in naming()} >= NAMING_ONLY


def test_a_function_that_decides_on_a_reason_comes_first_and_one_that_passes_it_on_last() -> None:
    for reason in Reason:
        found = places(reason)
        assert found[: len(DECIDING.get(reason, ()))] == DECIDING.get(reason, ())
        passing = {place for place, passed in PASSING_ON.items() if reason in passed}
        assert set(found[len(found) - len(passing) :]) == passing
        assert not passing.intersection(DECIDING.get(reason, ()))


def test_what_raises_an_exception_that_becomes_a_reason_is_a_rule_of_it() -> None:
    assert {place.partition(" ")[2] for place in raisers(Reason.REQUEST_AMBIGUOUS)} == {
        "read_ae_title",
        "_check_context_ids",
        "request_items",
        "parse_request_user_information",
    }
    assert raisers(Reason.NOT_TLS) == ["proxy/tls/hello.py _check_first_bytes"]
    assert set(raisers(Reason.REQUEST_AMBIGUOUS)) <= set(places(Reason.REQUEST_AMBIGUOUS))


#: Indented, because a line that begins with `def test_row_` counts as a test of that row.
EXAMPLE = """
    CASES = [("1/1/1 request_ambiguous", {"draining": 1})]

    @pytest.mark.parametrize(("address_limit", "case"), [(1, CASES)])
    def test_row_007_of_a_constant(address_limit, case):
        assert case

    def test_row_008_of_a_helper(case):
        # The text is no reason.
        assert refused(case), "it is not not_tls"

    def refused(case):
        return case.reason is Reason.PDU_INVALID
"""


def test_a_test_of_a_reason_names_it_itself_or_in_a_helper_or_a_constant() -> None:
    example = read_tests(textwrap.dedent(EXAMPLE))
    assert example.counts == {Reason.REQUEST_AMBIGUOUS: 1, Reason.PDU_INVALID: 1}
    assert example.test_of(Reason.REQUEST_AMBIGUOUS, 7) == "test_row_007_of_a_constant"
    assert example.test_of(Reason.PDU_INVALID, 8) == "test_row_008_of_a_helper"
    assert example.test_of(Reason.PDU_INVALID, 7) is None
    assert example.test_of_row(8) == "test_row_008_of_a_helper"


def test_no_file_is_left_out_that_does_not_name_the_reason() -> None:
    for reason, files in NOT_TESTS.items():
        assert not [file for file in files if not files_of_tests()[file].counts.get(reason)], reason


def test_the_name_of_an_argument_is_no_reason() -> None:
    assert "unit/net/test_loops.py" not in other_tests(Reason.ADDRESS_LIMIT)
    assert "unit/pdu/test_associate_rq.py" not in other_tests(Reason.PROTOCOL_VERSION)


def test_each_test_of_a_reason_exists() -> None:
    for reason in Reason:
        assert {*other_tests(reason), *(file for _, file, _ in rows_of(reason))} <= files_of_tests().keys()
        assert not {*other_tests(reason)} & NOT_TESTS.get(reason, {}).keys()
        for row, file, function in rows_of(reason):
            assert function in files_of_tests()[file].functions, f"row {row.number}, {reason}: {file}"


def test_every_file_of_a_row_that_tests_the_reason_is_linked() -> None:
    found = [file for row, file, _ in rows_of(Reason.UPSTREAM_TIMEOUT) if row.number == 98]
    assert found[:2] == ["bad_inputs/test_dialling_rows_096_099.py", "bad_inputs/test_upstream_tls_rows_096_101.py"]


def test_every_reason_has_its_rule_and_its_tests() -> None:
    not_built = {Reason.IDENTITY_REFUSED}
    assert {reason for reason in Reason if not places(reason)} == not_built
    # No configuration that is accepted leads to it; the vocabulary is tested as a whole.
    untested = {Reason.IDENTITY_UNAVAILABLE}
    assert {reason for reason in Reason if not rows_of(reason) and not other_tests(reason)} == not_built | untested
