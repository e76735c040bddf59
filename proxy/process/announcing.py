"""The first lines of the log: the listeners, and a connection limit that the machine does not allow."""

from proxy.config.values import Config
from proxy.observe.events import Events
from proxy.policy.addresses import format_endpoint
from proxy.shared.counts import connections_for_descriptors


def log_listeners(config: Config, log: Events) -> None:
    """Log each listener with its addresses and tenants."""
    for listener in config.listeners:
        log.event(
            "info",
            "listening",
            listener=listener.name,
            bind=[format_endpoint(host, port) for host, port in listener.bind],
            tls=listener.tls.profile if listener.tls is not None else None,
            tenants=[entrance.tenant.name for entrance in listener.policy.entrances],
        )


def log_capped_connections(config: Config, workers: int, log: Events) -> None:
    """Log how many connections the workers can serve, if file descriptors do not suffice for the configured number."""
    allowed = connections_for_descriptors(config.limits) * workers
    configured = config.limits.connections
    if allowed < configured:
        text = (
            f"the descriptor limit allows {allowed} of the {configured} connections in limits.connections: "
            "raise LimitNOFILE= in the unit, or ulimit -n"
        )
        # The reserved descriptors lower the number a little on most machines, which is no reason for a warning.
        log.event("warning" if allowed < configured // 2 else "info", "connections_capped", message=text)
