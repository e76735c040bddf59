"""Every row of the bad-input list is tested."""

import re
from pathlib import Path

ROWS = set(range(1, 148))
#: Rows that whole scenarios test, and their files in tests/integration or tests/soak.
ELSEWHERE: dict[int, tuple[str, ...]] = {
    96: ("test_pools", "test_a_server_that_hangs"),
    97: ("test_a_server_that_hangs",),
    98: ("test_a_server_that_hangs", "test_health_checks"),
    101: ("test_a_pacs_that_fails",),
    104: ("test_a_pacs_that_fails",),
    108: ("test_pools", "test_three_orthancs"),
    112: ("test_few_descriptors",),
    118: ("test_supervisor_killed", "test_service_manager"),
    121: ("test_drain_finishes_transfers",),
    127: ("test_reloads_under_load", "test_reload_watch"),
    134: ("test_connection_storm",),
    135: ("test_handshake_storm",),
    136: ("test_many_idle_associations",),
    137: ("test_no_starvation",),
    138: ("test_gigabytes_each_way",),
    139: ("test_gigabytes_each_way",),
    140: ("test_churn_leaves_nothing",),
    141: ("test_rejections_of_one_address",),
    142: ("test_admin_under_load",),
    143: ("test_debug_log_under_storm",),
    144: ("test_mixed_soak",),
}
_TEST = re.compile(r"^def test_row_(\d{3})_", re.MULTILINE)


def test_each_row_is_tested() -> None:
    files = Path(__file__).parent.glob("test_*.py")
    tested = {int(number) for file in files for number in _TEST.findall(file.read_text())}
    assert tested | ELSEWHERE.keys() == ROWS


def test_scenarios_that_test_rows_are_there() -> None:
    tests = Path(__file__).parents[1]
    there = {file.stem for folder in ("integration", "soak") for file in (tests / folder).glob("test_*.py")}
    assert {name for names in ELSEWHERE.values() for name in names} <= there


def test_files_hold_the_rows_that_they_are_named_for() -> None:
    for file in Path(__file__).parent.glob("test_*_row*_[0-9]*.py"):
        numbers = [int(part) for part in re.findall(r"_(\d{3})", file.stem)]
        rows = {int(number) for number in _TEST.findall(file.read_text())}
        assert rows and min(rows) == numbers[0], f"{file.name}: {sorted(rows)}"
