"""What to change, in the configuration or on the device, so that a refused association is accepted."""

from proxy.policy.model import Facts, Refuse
from proxy.policy.reasons import Reason

_ADVICE = {
    Reason.ADDRESS_DENIED: "Add {source} to the listener's networks, if it may connect at all.",
    Reason.SNI_UNKNOWN: "Correct the host name that the device connects to, or add {sni} to the tenant's server_names.",
    Reason.SNI_MISSING: "Configure the device with a host name and SNI, or set the listener's without_sni to match.",
    Reason.PROTOCOL_VERSION: "The sender does not speak DICOM's upper layer protocol version 1: check its software.",
    Reason.APPLICATION_CONTEXT: "The sender does not propose DICOM's application context: check its software.",
    Reason.TOO_MANY_CONTEXTS: "Propose fewer SOP classes on the device, or raise limits.presentation_contexts.",
    Reason.NO_PERMITTED_CONTEXT: (
        "Enable on the device what its peer may do, or add what it needs to allow, sop_classes or "
        "transfer_syntaxes{at}."
    ),
    Reason.CALLED_AET_UNKNOWN: (
        "Correct the called AE title {called} on the device, or add it to called_aets{of_tenant}."
    ),
    Reason.REQUEST_AMBIGUOUS: "Have the device pad AE titles with spaces, or set accept_nul_padding{of_tenant}.",
    Reason.TENANT_AMBIGUOUS: "Give the tenants disjoint networks or called_aets, or have the device send SNI.",
    Reason.TENANT_MISMATCH: (
        "The device uses one tenant's host name and another's called AE title {called}: correct one of them."
    ),
    Reason.CALLING_AET_UNKNOWN: (
        "Add a peer with aet: {calling} and from: [{source}]{of_tenant}, or correct the title on the device."
    ),
    Reason.SOURCE_NOT_ALLOWED: (
        "If {calling} has moved to {source}, add that address{at}; else find out who uses its title."
    ),
    Reason.CERTIFICATE_REQUIRED: "Install a client certificate on the device and have it sent, or drop the demand{at}.",
    Reason.CERTIFICATE_NOT_BOUND: (
        "Give the device the certificate that is bound to {calling}, or correct the cert conditions{at}."
    ),
    Reason.SNI_REQUIRED: (
        "Have the device send SNI, or let the listener ask for certificates (tls.client_auth.mode: optional)."
    ),
    Reason.PEER_REFUSED: "Remove action: refuse{at}, if {calling} may connect after all.",
    Reason.IDENTITY_REQUIRED: "Log in on the device as a user whom the peer names{at}.",
    Reason.CLIENT_CERTIFICATE_WRONG_CA: (
        "Use a certificate from the tenant's own CA, or add its CA under client_auth.ca{of_tenant}."
    ),
    Reason.CLIENT_CERTIFICATE_REVOKED: "Issue a new certificate for the device: this one is revoked.",
    Reason.CLIENT_CERTIFICATE_CRL_STALE: "Fetch a current CRL from the CA and put it under client_auth.crl.",
    Reason.CLIENT_CERTIFICATE_WEAK: "Issue a certificate with RSA >= 2048 or EC >= 256 bits and SHA-2 for the device.",
}


def advice(refuse: Refuse, facts: Facts) -> str:
    """One sentence on what to change; for a reason that policy never gives, where to look."""
    sentence = _ADVICE.get(refuse.reason)
    if sentence is None:
        return f"See {refuse.reason} in the documentation."
    step = refuse.trace[-1] if refuse.trace else None
    return sentence.format(
        source=facts.source,
        sni=repr(facts.sni),
        called=repr(facts.request.called.title),
        calling=repr(facts.request.calling.title),
        of_tenant=f" of tenant {refuse.tenant.name}" if refuse.tenant is not None else "",
        at=f" at {step.where}" if step is not None and step.where else "",
    )
