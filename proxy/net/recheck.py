"""The decision on an established association under a new configuration, after a reload."""

import ssl
import time
from dataclasses import dataclass

from proxy.config.values import Listener
from proxy.net.stages import understand_request
from proxy.policy import Accept, Address, ClientAuthMode, Facts, NeedsIdentity, Reason, Refuse, judge
from proxy.policy.tenants import entrance_for_sni
from proxy.tls.contexts import ListenerTls


@dataclass(frozen=True, slots=True)
class Remembered:
    """The facts of a decision, kept small for the life of an association: the request as bytes, not as parsed."""

    address: Address
    pdu: bytes
    sni: str | None


def decide_again(
    remembered: Remembered, tls_object: ssl.SSLObject | None, listener: Listener | None, tls: ListenerTls | None
) -> Accept | NeedsIdentity | str:
    """Return the decision of `listener` as it is configured now, or in words why the listener would refuse.

    The certificate is read from the connection and judged by the new CRLs and CAs, so that a revocation counts.
    """
    # A listener that has changed between plaintext and TLS is another one, under the same name.
    if listener is None or (tls is None) != (tls_object is None):
        return "its listener is gone"
    entrance = entrance_for_sni(listener.policy, remembered.sni) if tls is not None else None
    if isinstance(entrance, Refuse):
        return f"{entrance.reason}: {entrance.detail}"
    certificate = None
    now = time.time()
    if tls is not None and tls_object is not None:
        # The handshake cannot be repeated. Its certificate, still in the TLS object, is judged by the context that a
        # new connection with this server name would meet.
        context = tls.default if entrance is None else tls.tenant(entrance.tenant.name)
        certificate = context.client_certificate(tls_object, now)
        if certificate is None and context.client_auth_mode is ClientAuthMode.REQUIRED:
            return f"{Reason.CLIENT_CERTIFICATE_MISSING}: a client certificate is required now"
    facts = Facts(remembered.address, understand_request(remembered.pdu), now, remembered.sni, certificate)
    decision = judge(listener.policy, entrance, facts)
    return f"{decision.reason}: {decision.detail}" if isinstance(decision, Refuse) else decision
