"""The table of all metrics, for the processes that count and for the exposition.

A stranger never chooses a label value: it comes from the configuration or from a closed set (`labels.Labels`). The
series of a family with few combinations are created with zeros at start, so that `rate()` sees the first event.
"""

from proxy.observe.family import Family, Kind
from proxy.policy import Reason, Stage, reasons_of

PREFIX = "dicomgate_"
#: Value of the label `tenant` before a tenant is chosen.
NO_TENANT = "none"
#: Replaces a label value outside its closed set.
OTHER = "other"


_CONNECTION = (*reasons_of(Stage.ACCEPT, Stage.PROXY_HEADER, Stage.FIRST_BYTES), Reason.INTERNAL)
_ASSOCIATION = reasons_of(Stage.REQUEST, Stage.PDU, Stage.DECISION, Stage.UPSTREAM, Stage.RELAY, Stage.ANY)
#: Reasons that may occur both before and after the request is read: they are in both families of refusals.
_EARLY = reasons_of(Stage.REQUEST, Stage.PDU)
_PDU = (*reasons_of(Stage.PDU), Reason.UPSTREAM_PROTOCOL_ERROR)

# Bounds of histograms. They are few, because each costs a series for every combination of labels.
_HANDSHAKE_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0)  # timeouts.tls_handshake is 10 s
_SETUP_SECONDS = (0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0, 30.0)  # timeouts.upstream_accept is 30 s
_CONNECT_SECONDS = (0.0005, 0.002, 0.01, 0.05, 0.25, 1.0, 5.0)  # timeouts.upstream_connect is 5 s
_ASSOCIATION_SECONDS = (0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0)
_DIMSE_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0, 600.0)
_KIB = 1024
_INSTANCE_BYTES = tuple(_KIB * 4**power for power in range(1, 12))  # 4 KiB to 4 GiB
_LAG_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5)

_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

FAMILIES = (
    Family(
        "build_info",
        Kind.INFO,
        "Versions of the gateway, Python, OpenSSL and uvloop.",
        ("version", "python", "openssl", "uvloop"),
        highest=True,
        at_start=False,
    ),
    Family("connections_total", _C, "Connections accepted.", ("listener",)),
    Family("connections_active", _G, "Open connections by phase.", ("listener", "phase")),
    Family(
        "connections_rejected_total",
        _C,
        "Connections that ended before an A-ASSOCIATE-RQ was read, by reason; TLS failures are counted separately.",
        ("listener", "reason"),
        reasons=_CONNECTION + _EARLY,
    ),
    Family(
        "proxy_protocol_headers_total",
        _C,
        "PROXY headers of load balancers: accepted (ok), or the cause for which the connection was refused.",
        ("listener", "result"),
    ),
    Family(
        "tls_handshakes_total",
        _C,
        "TLS handshakes completed.",
        ("listener", "role", "version", "cipher", "resumed", "client_cert"),
        at_start=False,
    ),
    Family(
        "tls_handshake_failures_total",
        _C,
        "TLS handshakes that failed or were refused, by reason.",
        ("listener", "role", "reason"),
        reasons=reasons_of(Stage.TLS),
    ),
    Family(
        "tls_handshake_duration_seconds",
        _H,
        "Time from the ClientHello to the end of the TLS handshake.",
        ("listener", "role"),
        _HANDSHAKE_SECONDS,
    ),
    Family("sni_lookups_total", _C, "Lookups of the server name of a ClientHello, by result.", ("listener", "result")),
    Family(
        "associations_total",
        _C,
        "Associations requested, by outcome: accepted, refused by the policy or the upstream, or failed.",
        ("listener", "tenant", "outcome"),
    ),
    Family(
        "association_refusals_total",
        _C,
        "Associations refused or ended by the gateway, by reason.",
        ("tenant", "reason"),
        reasons=_ASSOCIATION,
    ),
    Family("associations_ended_total", _C, "Accepted associations that ended, by how they ended.", ("tenant", "ended")),
    Family("associations_active", _G, "Associations established now.", ("tenant",)),
    Family(
        "associations_limit",
        _G,
        "Maximum number of associations that may be established at once.",
        ("tenant",),
        highest=True,
        at_start=False,
    ),
    Family(
        "association_setup_duration_seconds",
        _H,
        "Time from the end of the TLS handshake to the answer to the A-ASSOCIATE-RQ.",
        ("tenant",),
        _SETUP_SECONDS,
    ),
    Family(
        "association_duration_seconds",
        _H,
        "Time from the A-ASSOCIATE-AC to the end of the association.",
        ("tenant",),
        _ASSOCIATION_SECONDS,
    ),
    Family(
        "policy_decisions_total",
        _C,
        "Decisions on association requests, by the peer entry that matched, or by the reason if none did.",
        ("tenant", "rule", "decision"),
    ),
    Family("received_bytes_total", _C, "Plaintext bytes received.", ("tenant", "side")),
    Family("sent_bytes_total", _C, "Plaintext bytes sent.", ("tenant", "side")),
    Family("pdus_total", _C, "PDUs relayed; direction `in` is from the requestor.", ("tenant", "direction", "type")),
    Family("pdu_errors_total", _C, "PDUs that violate PS3.8.", ("tenant", "side", "reason"), reasons=_PDU),
    Family(
        "dimse_messages_total",
        _C,
        "DIMSE requests passed on; direction `in` is from the requestor.",
        ("tenant", "direction", "operation"),
        at_start=False,
    ),
    Family(
        "dimse_responses_total",
        _C,
        "DIMSE responses, by the operation they answer.",
        ("tenant", "operation", "status_class"),
        at_start=False,
    ),
    Family(
        "dimse_refusals_total",
        _C,
        "DIMSE requests that the policy does not allow: refused, or only observed (would_refuse).",
        ("tenant", "operation", "reason", "decision"),
        at_start=False,
    ),
    Family(
        "dimse_duration_seconds",
        _H,
        "Time from a DIMSE request to its final response.",
        ("tenant", "operation"),
        _DIMSE_SECONDS,
        at_start=False,
    ),
    Family(
        "instances_stored_total",
        _C,
        "C-STORE requests answered, by group of SOP classes.",
        ("tenant", "sop_class", "status_class"),
        at_start=False,
    ),
    Family(
        "instances_stored_bytes_total",
        _C,
        "Bytes of the data sets of answered C-STORE requests, by group of SOP classes.",
        ("tenant", "sop_class"),
        at_start=False,
    ),
    Family(
        "instance_size_bytes",
        _H,
        "Size of the data sets of answered C-STORE requests.",
        ("tenant",),
        _INSTANCE_BYTES,
    ),
    Family(
        "backpressure_pauses_total",
        _C,
        "Pauses in reading from one side because the other side was slower.",
        ("tenant", "side"),
    ),
    Family(
        "upstream_connect_attempts_total",
        _C,
        "Connection attempts to a server, by result.",
        ("upstream", "server", "result"),
    ),
    Family(
        "upstream_connect_duration_seconds",
        _H,
        "Time from the start of a connection attempt to the connection.",
        ("upstream", "server"),
        _CONNECT_SECONDS,
    ),
    Family(
        "upstream_up",
        _G,
        "0 if the last connection attempt to a server failed or its health check found it down, else 1.",
        ("upstream", "server"),
        highest=True,
    ),
    Family(
        "upstream_health_checks_total",
        _C,
        "Health checks of a server, by result; `rejected`: the server is alive and refuses the check.",
        ("upstream", "server", "check", "result"),
    ),
    Family(
        "upstream_health_check_timestamp_seconds",
        _G,
        "Unix time at which the last health check of a server ended.",
        ("upstream", "server"),
        highest=True,
        at_start=False,
    ),
    Family("upstream_associations_active", _G, "Associations open to a server now.", ("upstream", "server")),
    Family(
        "tls_certificate_not_after_timestamp_seconds",
        _G,
        "Unix time at which the validity of a configured certificate ends.",
        ("use", "name", "serial"),
        highest=True,
        at_start=False,
    ),
    Family(
        "tls_certificate_not_before_timestamp_seconds",
        _G,
        "Unix time at which the validity of a configured certificate begins.",
        ("use", "name", "serial"),
        highest=True,
        at_start=False,
    ),
    Family(
        "crl_next_update_timestamp_seconds",
        _G,
        "Unix time at which the next revocation list of an issuer is due.",
        ("issuer",),
        highest=True,
        at_start=False,
    ),
    Family(
        "config_last_reload_successful",
        _G,
        "1 if the last load of the configuration succeeded, else 0.",
        highest=True,
        at_start=False,
    ),
    Family(
        "config_last_reload_success_timestamp_seconds",
        _G,
        "Unix time of the last successful load of a configuration.",
        highest=True,
        at_start=False,
    ),
    Family("config_reloads_total", _C, "Reloads of the configuration, by trigger and result.", ("trigger", "result")),
    Family("draining", _G, "1 while the gateway drains and refuses new associations, else 0.", highest=True),
    Family("workers", _G, "Worker processes, by state.", ("state",), at_start=False),
    Family("event_loop_lag_seconds", _H, "Delay with which the event loop ran a timer.", (), _LAG_SECONDS),
    Family("label_overflow_total", _C, "Label values outside their closed set, exported as `other`.", ("label",)),
    Family(
        "log_dropped_total", _C, "Log lines and access records dropped because their destination was too slow or full."
    ),
)

BY_NAME = {family.name: family for family in FAMILIES}


def operation_label(name: str) -> str:
    """Return the label value of a DIMSE service: c_store for C-STORE."""
    return name.lower().replace("-", "_")
