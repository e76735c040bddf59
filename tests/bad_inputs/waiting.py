"""Rows of the bad-input list whose feature is not there yet, and the issue that each waits for.

A row may stand here and be tested as well: then what is tested is the part that can be seen today.
`ELSEWHERE` names the rows that whole scenarios test, and their files in tests/integration or tests/soak.
"""

OPERATIONS = "issue 4, operations: DIMSE command sets are read and decided on (design section 8)"

WAITING: dict[int, tuple[str, str]] = {
    76: (OPERATIONS, "a command set never finished, contexts interleaved, a data set before its command"),
    78: (OPERATIONS, "element lengths, group length, unknown fields and 4 GiB declared inside a command set"),
}

ELSEWHERE: dict[int, tuple[str, ...]] = {
    112: ("test_few_descriptors",),
    118: ("test_supervisor_killed", "test_service_manager"),
    121: ("test_drain_finishes_transfers",),
    127: ("test_reloads_under_load", "test_reload_watch"),
}
