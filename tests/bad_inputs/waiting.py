"""Rows of the bad-input list whose feature is not there yet, and the issue that each waits for.

A row may stand here and be tested as well: then what is tested is the part that can be seen today.
`ELSEWHERE` names the rows that whole scenarios test, and their files in tests/integration or tests/soak.
"""

WAITING: dict[int, tuple[str, str]] = {}

ELSEWHERE: dict[int, tuple[str, ...]] = {
    112: ("test_few_descriptors",),
    118: ("test_supervisor_killed", "test_service_manager"),
    121: ("test_drain_finishes_transfers",),
    127: ("test_reloads_under_load", "test_reload_watch"),
}
