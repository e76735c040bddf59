"""Rows of the bad-input list whose feature is not there yet, and the issue that each waits for.

A row may stand here and be tested as well: then what is tested is the part that can be seen today.
`ELSEWHERE` names the rows that whole scenarios test, and their files in tests/integration or tests/soak.
"""

POOLS = "issue 5, pools: several servers of one upstream, and a guard against loops"

WAITING: dict[int, tuple[str, str]] = {
    96: (POOLS, "a breaker counts refused connections (the metric of the attempts does already)"),
    108: (POOLS, "two servers, the first one dead (two addresses of one server are tried already)"),
    111: (
        POOLS,
        "a loop through others is recognised as such (the configuration's own, and its end, are seen already)",
    ),
}

ELSEWHERE: dict[int, tuple[str, ...]] = {
    101: ("test_a_pacs_that_fails",),
    104: ("test_a_pacs_that_fails",),
    112: ("test_few_descriptors",),
    118: ("test_supervisor_killed", "test_service_manager"),
    121: ("test_drain_finishes_transfers",),
    127: ("test_reloads_under_load", "test_reload_watch"),
}
