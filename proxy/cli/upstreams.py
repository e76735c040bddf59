"""How upstreams are dialled, for `dicomgate check` and `explain`."""

from dataclasses import asdict, dataclass
from typing import Any

from proxy.config.values import Config, Upstream
from proxy.observe.families import server_label


@dataclass(frozen=True, slots=True)
class EffectiveUpstream:
    """One upstream. `send_proxy_protocol`: v1, v2 or None."""

    name: str
    where: str
    servers: tuple[str, ...]
    balance: str
    weights: tuple[int, ...]
    backups: tuple[str, ...]
    source_address: str | None
    send_proxy_protocol: str | None

    def to_dict(self) -> dict[str, Any]:
        """For `--format json`."""
        return asdict(self)

    def __str__(self) -> str:
        parts = [", ".join(self._in_words(*each) for each in zip(self.servers, self.weights, strict=True))]
        if len(self.servers) > 1:
            parts.append(f"by {self.balance}")
        if self.source_address is not None:
            parts.append(f"from {self.source_address}")
        if self.send_proxy_protocol is not None:
            parts.append(f"behind a PROXY header {self.send_proxy_protocol}")
        return ", ".join(parts)

    def _in_words(self, server: str, weight: int) -> str:
        said = [f"weight {weight}"] if weight != 1 else []
        if server in self.backups:
            said.append("backup")
        return f"{server} ({', '.join(said)})" if said else server


def describe_upstreams(config: Config) -> list[EffectiveUpstream]:
    """Every upstream, in the order of the file."""
    return [describe_upstream(upstream) for upstream in config.upstreams.values()]


def describe_upstream(upstream: Upstream) -> EffectiveUpstream:
    """One upstream."""
    version = upstream.send_proxy_protocol
    return EffectiveUpstream(
        name=upstream.name,
        where=upstream.where,
        servers=tuple(map(server_label, upstream.servers)),
        balance=upstream.balance,
        weights=tuple(server.weight for server in upstream.servers),
        backups=tuple(server_label(server) for server in upstream.servers if server.backup),
        source_address=upstream.source_address,
        send_proxy_protocol=None if version is None else f"v{version}",
    )
