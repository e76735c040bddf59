import pytest

from proxy.config.values import Config, Listener, Server
from proxy.policy import ListenerPolicy, Peer, Tenant
from tests.support import defaults


@pytest.fixture
def config() -> Config:
    """Two tenants with a peer each, one listener, and one upstream with an IPv4 and an IPv6 server."""
    tenants = {
        name: Tenant(name, "pacs", (Peer(peer, (peer.upper(),), frozenset({"all"})),), max_associations=limit)
        for name, peer, limit in (("hospital", "ct1", None), ("clinic", "us1", 7))
    }
    return defaults.config(
        listeners=(Listener("dicom-tls", (("127.0.0.1", 2762),), ListenerPolicy("dicom-tls", ())),),
        tenants=tenants,
        upstreams={"pacs": defaults.upstream("pacs", (Server("10.20.0.5", 104), Server("fd00::5", 104)))},
        limits=defaults.limits(connections=1000),
    )
