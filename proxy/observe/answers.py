"""Answers on the wire in the words of their standards. Devices show the same words on screens and in logs."""

from proxy.policy import Abort, Alert, Answer, Close, Reject, Status

#: (source, reason) of an A-ASSOCIATE-RJ (PS3.8 Table 9-21).
_REJECT = {
    (1, 1): "no reason given",
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title not recognized",
    (1, 7): "called AE title not recognized",
    (2, 1): "no reason given",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}
#: Reason of an A-ABORT by the service provider (PS3.8 Table 9-26).
_ABORT = {
    0: "reason not specified",
    1: "unrecognized PDU",
    2: "unexpected PDU",
    4: "unrecognized PDU parameter",
    5: "unexpected PDU parameter",
    6: "invalid PDU parameter value",
}
#: RFC 8446 section 6.2.
_ALERT = {
    10: "unexpected_message",
    20: "bad_record_mac",
    22: "record_overflow",
    40: "handshake_failure",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    90: "user_canceled",
    109: "missing_extension",
    110: "unsupported_extension",
    112: "unrecognized_name",
    113: "bad_certificate_status_response",
    116: "certificate_required",
    120: "no_application_protocol",
}
#: PS3.7 annex C, PS3.4 Table C.4-2.
_STATUS = {0x0124: "refused: not authorized", 0xA801: "refused: move destination unknown"}


def describe_answer(answer: Answer) -> str:
    """Return the answer as one line, such as `A-ASSOCIATE-RJ 1/1/7 (called AE title not recognized)`."""
    # The numbers may be the upstream's own and outside the tables of the Standard: then "reserved" or "unassigned".
    match answer:
        case Reject(result, source, reason):
            words = _REJECT.get((source, reason), "reserved")
            return f"A-ASSOCIATE-RJ {result}/{source}/{reason} ({words}{', transient' if result == 2 else ''})"
        case Abort(None, reason):
            return f"A-ABORT ({_ABORT.get(reason, 'reserved')})"
        case Abort(0, reason):
            return f"A-ABORT 0/{reason} (by the service user)"
        case Abort(source, reason):
            return f"A-ABORT {source}/{reason} ({_ABORT.get(reason, 'reserved')})"
        case Alert(None):
            return "TLS alert"
        case Alert(int() as description):
            return f"TLS alert {description} ({_ALERT.get(description, 'unassigned')})"
        case Status(status):
            return f"DIMSE status {status:04X}H ({_STATUS.get(status, 'failure')})"
        case Close():
            return "connection closed without an answer"
        case _:
            return "the upstream's own answer, passed on"
