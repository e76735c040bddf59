import pytest

from proxy.config.values import Config, Limits, Listener, Server, Upstream
from proxy.policy import Listener as ListenerPolicy
from proxy.policy import Peer, Tenant


@pytest.fixture
def config() -> Config:
    """Two tenants with a peer each, one listener, one upstream with an IPv4 and an IPv6 server."""
    tenants = {
        name: Tenant(name, "pacs", (Peer(peer, (peer.upper(),), frozenset({"all"})),), max_associations=limit)
        for name, peer, limit in (("hospital", "ct1", None), ("clinic", "us1", 7))
    }
    return Config(
        path="config.yaml",
        listeners=(Listener("dicom-tls", (("127.0.0.1", 2762),), ListenerPolicy("dicom-tls", ())),),
        tenants=tenants,
        upstreams={"pacs": Upstream("pacs", (Server("10.20.0.5", 104), Server("fd00::5", 104)))},
        limits=Limits(connections=1000),
    )
