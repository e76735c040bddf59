"""The lines that the log begins with: what the gateway serves, and with what limits."""

from proxy.config.values import Config
from proxy.observe.events import Events
from proxy.shared.counts import connections_for_descriptors


def log_start(config: Config, workers: int, log: Events) -> None:
    """Log the listeners, the number of workers, and a limit of connections that the descriptor limit lowers."""
    for listener in config.listeners:
        log.event(
            "info",
            "listening",
            listener=listener.name,
            bind=[f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in listener.bind],
            tls=listener.tls.profile if listener.tls is not None else None,
            tenants=[entrance.tenant.name for entrance in listener.policy.entrances],
        )
    _log_cap(config, workers, log)
    log.event("info", "started", config=config.path, workers=workers)


def _log_cap(config: Config, workers: int, log: Events) -> None:
    allowed = connections_for_descriptors(config.limits) * workers
    configured = config.limits.connections
    if allowed < configured:
        text = (
            f"the descriptor limit allows {allowed} of the {configured} connections in limits.connections: "
            "raise LimitNOFILE= in the unit, or ulimit -n"
        )
        # The descriptors reserved for listeners and logs lower the figure a little everywhere: no warning for that.
        log.event("warning" if allowed < configured // 2 else "info", "connections_capped", message=text)
