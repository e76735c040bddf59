"""The shortest way through: an association over TLS reaches the PACS byte for byte and ends by a release."""

from collections.abc import Callable

from tests.support.client import associate, client_context, connect, echo, release, request
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs, mirror
from tests.support.site import Site, port_of


def test_an_association_is_relayed_and_released(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    with Pacs(mirror) as pacs:
        config = site.one_tenant(pacs.port)
        gateway = start_gateway(config)
        with connect(port_of(config), client_context(site.path("ca.pem"))) as wire:
            associate(wire)
            echo(wire)
            release(wire)
        assert pacs.ended().request == request()
        assert pacs.ended().ended == "release"
        record = gateway.wait_for_record()
    assert (record["decision"], record["ended"], record["tenant"]) == ("accepted", "released", "hospital")
    assert record["pdus_in"] == record["pdus_out"] == 2
    gateway.check_healthy()
