"""The ground floor of `net`: the parts of a worker that its associations share."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from proxy.config.values import Config
from proxy.net.poller import Poller
from proxy.net.records import Journal, Records
from proxy.net.servers import Servers
from proxy.observe.metrics import Metrics
from proxy.shared.counts import Counts
from proxy.tls.contexts import ListenerTls
from proxy.tls.upstreams import UpstreamContext
from proxy.upstream.dialling import Resolver


@dataclass(frozen=True, slots=True)
class Station:
    """One for each worker, shared by all its associations. It knows neither the worker nor any association.

    `tls` holds the contexts of each listener by the listener's name, `upstream_tls` those of each upstream with TLS.
    Frozen: a worker serves one configuration, and a reload makes new workers.
    """

    loop: asyncio.AbstractEventLoop
    poller: Poller
    config: Config
    tls: Mapping[str, ListenerTls]
    upstream_tls: Mapping[str, UpstreamContext]
    metrics: Metrics
    counts: Counts
    servers: Servers
    resolver: Resolver
    journal: Journal
    records: Records
