"""Rows of the bad-input list whose feature is not there yet, and the issue that each waits for.

A row may stand here and be tested as well: then what is tested is the part that can be seen today.
"""

RELOAD = "issue 3, reload: a new generation of workers under a new configuration (design section 6)"
OPERATIONS = "issue 4, operations: DIMSE command sets are read and decided on (design section 8)"

WAITING: dict[int, tuple[str, str]] = {
    18: (RELOAD, "a session from before a CA or CRL reload gets a full handshake"),
    22: (RELOAD, "a CRL that is truncated at a reload is refused and the last good one kept"),
    76: (OPERATIONS, "a command set never finished, contexts interleaved, a data set before its command"),
    78: (OPERATIONS, "element lengths, group length, unknown fields and 4 GiB declared inside a command set"),
}
