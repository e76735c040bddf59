"""`optional` without a CA: a tenant that inherits `from_tenants` and has no CA of its own."""

import pytest

from proxy.policy import Reason
from proxy.tls.contexts import ServerContext
from proxy.tls.errors import TlsSetupError
from proxy.tls.failures import explain_handshake_failure
from tests.support import certs, tls_pair


def test_no_certificate_is_fine_and_any_certificate_is_refused() -> None:
    context = ServerContext(tls_pair.server_settings(mode="optional"))
    context.self_test()
    assert tls_pair.shake_hands(context, tls_pair.client()).server_error is None
    refused = tls_pair.shake_hands(context, tls_pair.client(certs.leaf("ct1", certs.ca("Somebody"))))
    assert refused.server_error is not None
    reason, _ = explain_handshake_failure(refused.server_error, refused.hello, context.profile)
    assert reason is Reason.CLIENT_CERTIFICATE_UNTRUSTED


def test_required_without_a_ca_is_an_error() -> None:
    with pytest.raises(TlsSetupError, match=r"config.yaml:9: client certificates are required, but there is no CA"):
        ServerContext(tls_pair.server_settings(mode="required"))
