import pytest

from proxy.policy import Reason, Tenant
from proxy.policy.trace import Trace


@pytest.mark.parametrize("reason", list(Reason))
def test_observe_mode_lifts_the_closed_set_alone_and_only_until_its_date(reason: Reason) -> None:
    trace, tenant = Trace(), Tenant("t", "pacs", (), observe_until=100.0)
    assert not trace.observed(tenant, 100.0, "rule", reason, "detail")
    assert not trace.observed(Tenant("t", "pacs", ()), 99.9, "rule", reason, "detail")
    assert (trace.would_refuse, trace.steps) == ([], [])
    assert trace.observed(tenant, 99.9, "rule", reason, "detail") is reason.observable
    assert trace.would_refuse == [reason] * reason.observable
