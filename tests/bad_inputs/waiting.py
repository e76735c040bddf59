"""Rows of the bad-input list whose feature is not there yet, and the issue that each waits for.

A row may stand here and be tested as well: then what is tested is the part that can be seen today.
`ELSEWHERE` names the rows that whole scenarios test, and their files in tests/integration or tests/soak.
"""

LOOPS = "issue 5, a guard against loops"

WAITING: dict[int, tuple[str, str]] = {
    111: (
        LOOPS,
        "a loop through others is recognised as such (the configuration's own, and its end, are seen already)",
    ),
}

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
