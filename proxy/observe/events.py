"""Every event of the application log: its name, its levels, its occasion and its fields.

A log line is an object with `ts`, `level` and `event`, followed by the event's own fields. A field without a value is
left out. Names, levels and fields are an interface: alerts and dashboards match on them. The access record is not in
this table; `access_record.schema.json` describes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Event:
    """An event of the log. `when` is a sentence; `fields` maps the name of each field to its meaning."""

    name: str
    levels: tuple[str, ...]  # the usual one first
    when: str
    fields: Mapping[str, str] = field(default_factory=dict)


class Events(Protocol):
    """A log for events."""

    def event(self, level: str, name: str, **fields: Any) -> None:
        """Log an event of the table below."""


_UPSTREAM = {"upstream": "Configured name of the upstream.", "server": "Server of the upstream, `host:port`."}
_CHECK = {"check": "Type of the health check: `echo` or `tcp`."}
_CERTIFICATE = {
    "use": "`server`: of a listener. `client`: the gateway's for an upstream, or a pinned one of a device. `ca`: a CA.",
    "certificate": "The file, the configured name of the CA, or `tenant/peer` of a pinned certificate.",
    "serial": "Serial number of the certificate, hexadecimal.",
}

_GATEWAY = (
    Event(
        "listening",
        ("info",),
        "At start, once for each listener.",
        {
            "listener": "Configured name of the listener.",
            "bind": "Its addresses, `host:port` each.",
            "tls": "Its TLS profile; absent on a plaintext listener.",
            "tenants": "Configured names of the tenants it serves.",
        },
    ),
    Event(
        "started",
        ("info",),
        "All workers accept connections.",
        {"config": "Path of the configuration.", "workers": "Number of worker processes."},
    ),
    Event(
        "draining",
        ("info",),
        "A stop was requested (SIGTERM, SIGINT or `dicomgate stop`); open associations are served to their end.",
        {"associations": "Number of associations that are open."},
    ),
    Event("stopped", ("info",), "The last line: every worker has ended and every socket is closed."),
    Event(
        "connections_capped",
        ("warning", "info"),
        "At start, if file descriptors do not suffice for `limits.connections`; info while more than half are served.",
        {"message": "The number allowed, the number configured, and how to raise it."},
    ),
    Event(
        "inherited_socket_unused",
        ("warning",),
        "systemd passed a listening socket that no listener binds.",
        {"address": "Address of the socket, `host:port`."},
    ),
    Event(
        "control_unavailable",
        ("warning",),
        "The default control socket cannot be used; the gateway serves without `reload`, `status` and `stop`.",
        {"message": "The path, the cause and the remedy."},
    ),
    Event(
        "signal_ignored",
        ("warning",),
        "SIGUSR2 was received; it has no meaning for the gateway.",
        {"message": "The signals that the gateway handles."},
    ),
    Event(
        "internal",
        ("error",),
        "A bug of the gateway ended one association or one task; please report it.",
        {
            "message": "The activity that failed.",
            "error": "The exception.",
            "at": "File and line that raised it.",
        },
    ),
)

_WORKERS = (
    Event(
        "worker_lost",
        ("error",),
        "A worker process ended by itself or was killed; another one replaces it.",
        {
            "pid": "Process id of the worker; 0 if no process could be started.",
            "ended": "Signal name, `exit code N`, or `nothing` if no process could be started.",
            "associations": "Number of associations that ended with it.",
            "message": "The worker's own reason, if it gave one.",
        },
    ),
    Event(
        "worker_stuck",
        ("error",),
        "A worker gave no sign of life and is killed; `worker_lost` follows.",
        {"pid": "Process id of the worker.", "seconds": "Seconds without a sign of life."},
    ),
    Event(
        "giving_up",
        ("error",),
        "Workers end as soon as they start, several times in a row; the gateway ends with exit code 1.",
        {"message": "Number of failed starts."},
    ),
)

_RELOAD = (
    Event(
        "reloaded",
        ("info",),
        "A new configuration is active.",
        {
            "trigger": "`signal`, `api` (`dicomgate reload`) or `watch`.",
            "message": "The new generation, and the keys that need a restart.",
        },
    ),
    Event(
        "reload_failed",
        ("error",),
        "A reload failed; the previous configuration stays active.",
        {"trigger": "`signal`, `api` (`dicomgate reload`) or `watch`.", "message": "The errors, at most five."},
    ),
    Event(
        "recheck_failed",
        ("error",),
        "A worker of the previous configuration cannot decide its associations again; they are all ended.",
        {"message": "The cause.", "ended": "Number of associations that are ended."},
    ),
)

_SERVERS = (
    Event(
        "server_down",
        ("warning", "error"),
        "A server gets no associations for a while: it cannot be connected to (warning), or its health check fails "
        "(error).",
        {**_UPSTREAM, **_CHECK, "message": "Result of the health check."},
    ),
    Event(
        "server_up",
        ("info",),
        "A server gets associations again.",
        {**_UPSTREAM, **_CHECK, "message": "Result of the health check."},
    ),
    Event(
        "health_check_refused",
        ("info",),
        "A server answers its health check with a refusal: it is alive and counts as up. Logged when this begins.",
        {**_UPSTREAM, **_CHECK, "message": "The refusal."},
    ),
    Event(
        "health_check_failed",
        ("error",),
        "A health check could not be made, for lack of memory or descriptors or by a bug; the server's state stays.",
        {**_UPSTREAM, **_CHECK, "error": "The exception."},
    ),
    Event(
        "upstream_loop",
        ("error",),
        "A server leads back to this gateway; its associations are rejected.",
        {**_UPSTREAM, "message": "How the loop was found."},
    ),
    Event(
        "upstream_probed",
        ("info",),
        "Many equal requests waited for a server; a probe by the gateway has shown that this is no loop.",
        {**_UPSTREAM, "message": "The implementation version name of the probe."},
    ),
)

_ASSOCIATIONS = (
    Event(
        "accept_paused",
        ("error",),
        "A worker cannot accept connections and pauses for a moment; logged at intervals while this lasts.",
        {"listener": "Configured name of the listener.", "error": "The cause."},
    ),
    Event(
        "operation_refused",
        ("warning",),
        "A DIMSE request was refused on an accepted association; repetitions by one sender are summed up.",
        {
            "id": "Id of the association, as in its access record.",
            "tenant": "Configured name of the tenant.",
            "peer": "Configured name of the peer entry.",
            "calling_aet": "Calling AE title, as sent.",
            "reason": "Reason of the refusal, as in access records.",
            "detail": "The refused request.",
        },
    ),
    Event(
        "refusals_suppressed",
        ("warning",),
        "The sum of the refusals of one sender that were not logged one by one.",
        {
            "address": "Source address; `*`: many addresses together.",
            "calling_aet": "Calling AE title, as sent; absent: all titles from the address.",
            "reason": "Reason of the refusals; absent: several.",
            "suppressed": "Number of refusals without a line of their own.",
        },
    ),
)

_CERTIFICATES = (
    Event(
        "certificate_expires",
        ("warning",),
        "A configured certificate ends in 30, 7 and 1 days.",
        {**_CERTIFICATE, "days_left": "Days until it ends."},
    ),
    Event("certificate_expired", ("error",), "A configured certificate has ended.", _CERTIFICATE),
    Event(
        "crl_expired",
        ("error", "warning"),
        "The next update of a certificate revocation list is overdue; a warning if it is used all the same.",
        {
            "issuer": "Configured name of the CA, else the file of the list.",
            "message": "The consequence for certificates of the CA.",
        },
    ),
)

_LOGS = (
    Event(
        "log_dropped",
        ("warning",),
        "Lines were dropped because standard output or the access log was too slow or full.",
        {"lines": "Number of lines lost since this was last logged."},
    ),
    Event(
        "log_reopen_failed",
        ("warning",),
        "After SIGUSR1 the access log cannot be reopened; the gateway goes on writing to the old file.",
        {"path": "Path of the log.", "error": "The cause."},
    ),
)

#: All events, grouped by subject.
EVENTS = (*_GATEWAY, *_WORKERS, *_RELOAD, *_SERVERS, *_ASSOCIATIONS, *_CERTIFICATES, *_LOGS)
