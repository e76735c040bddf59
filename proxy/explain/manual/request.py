"""Reasons of the A-ASSOCIATE-RQ: how it is read, and what policy decides on it."""

from proxy.explain.manual.entry import NOT_GIVEN, NOTHING, ManualEntry
from proxy.policy import Reason

_SOFTWARE = "Check the sender's software and its version."
_SHOW_VENDOR = "Update the sender, and show its vendor the record."

REQUEST = {
    Reason.PDU_INVALID: ManualEntry(
        "The sender violates the PDU tables of PS3.8; the detail of the record says where.",
        "Check that the sender speaks DICOM.",
        _SHOW_VENDOR,
    ),
    Reason.PDU_UNEXPECTED: ManualEntry(
        "A PDU arrived that the state of the association does not allow.",
        _SOFTWARE,
        _SHOW_VENDOR,
    ),
    Reason.REQUEST_TOO_LARGE: ManualEntry(
        "The A-ASSOCIATE-RQ is longer than limits.associate_rq.",
        "Check how many SOP classes and transfer syntaxes the device proposes.",
        "Have the device propose fewer SOP classes, or raise limits.associate_rq.",
    ),
    Reason.PROTOCOL_VERSION: ManualEntry(
        "The request does not offer version 1 of DICOM's upper layer protocol.",
        _SOFTWARE,
        "Update the sender's software.",
    ),
    Reason.APPLICATION_CONTEXT: ManualEntry(
        "The request does not propose DICOM's application context.",
        _SOFTWARE,
        "Update the sender's software.",
    ),
    Reason.CALLED_AET_UNKNOWN: ManualEntry(
        "No tenant that the request can reach has the called AE title.",
        "Compare `called_aet` of the record with the tenant's called_aets and routes; case counts.",
        "Correct the called AE title on the device, or add it to called_aets or routes of the tenant.",
        advice="Correct the called AE title {called} on the device, or add it to called_aets{of_tenant}.",
    ),
    Reason.REQUEST_AMBIGUOUS: ManualEntry(
        "The PACS could read the request differently than the gateway, for example an AE title padded with NULs.",
        "Read the detail of the record: it names the field.",
        "Have the device send AE titles of printable ASCII, padded with spaces. For NULs there is the tenant's "
        "accept_nul_padding.",
        advice="Have the device pad AE titles with spaces, or set accept_nul_padding{of_tenant}.",
    ),
    Reason.TOO_MANY_CONTEXTS: ManualEntry(
        "The request proposes more presentation contexts than limits.presentation_contexts or DICOM (128) allows.",
        "Check which SOP classes are enabled on the device.",
        "Have the device propose fewer SOP classes, or raise limits.presentation_contexts.",
    ),
    Reason.NO_PERMITTED_CONTEXT: ManualEntry(
        "The peer may use none of the presentation contexts that the request proposes, or the request proposes none.",
        "Read the detail of the record: it says what each SOP class needs in allow.",
        "Enable a permitted service on the device, or add the service to the peer's allow, sop_classes or "
        "transfer_syntaxes.",
        advice=(
            "Enable a permitted service on the device, or add the service to allow, sop_classes or "
            "transfer_syntaxes{at}."
        ),
    ),
    Reason.TENANT_AMBIGUOUS: ManualEntry(
        "Without SNI, more than one tenant would take the request.",
        "Read the detail of the record: it names these tenants.",
        "Give the tenants disjoint networks or called_aets, or have the device send SNI.",
    ),
    Reason.TENANT_MISMATCH: ManualEntry(
        "The server name selects one tenant, and the called AE title belongs to another.",
        "Compare `sni` and `called_aet` of the record with the two tenants.",
        "Correct one of the two on the device.",
        advice="Correct the host name or the called AE title {called} on the device: they belong to two tenants.",
    ),
    Reason.CALLING_AET_UNKNOWN: ManualEntry(
        "No peer of the tenant has the calling AE title.",
        "Compare `calling_aet` of the record with the aet of the tenant's peers; case counts.",
        "Add a peer with that title, or correct the title on the device.",
        advice="Add a peer with aet: {calling} and from: [{source}]{to_tenant}, or correct the title on the device.",
    ),
    Reason.SOURCE_NOT_ALLOWED: ManualEntry(
        "The calling AE title is known, but not from this address; or the address is outside the tenant's networks.",
        "Find out whether the device has a new address, or another device uses its title.",
        "Add the new address to from of the peer, or to the tenant's networks.",
        advice="If {calling} has moved to {source}, add that address{at}; if not, find the device that uses its title.",
    ),
    Reason.CERTIFICATE_REQUIRED: ManualEntry(
        "The peer or the tenant is bound to a client certificate, and the client sent none.",
        "Check that the device sends its certificate, and that client_auth.mode of listener or tenant asks for one.",
        "Install a client certificate on the device and have it sent, or drop the demand of the peer.",
        advice="Install a client certificate on the device and have it sent, or drop the demand{at}.",
    ),
    Reason.CERTIFICATE_NOT_BOUND: ManualEntry(
        "The client certificate is valid, but the calling AE title is bound to another one.",
        "Compare the certificate's names (`dicomgate pki inspect FILE`) with the peer's cert conditions.",
        "Give the device its own certificate, or correct the peer's cert conditions.",
        advice="Give the device the certificate that is bound to {calling}, or correct the cert conditions{at}.",
    ),
    Reason.SNI_REQUIRED: ManualEntry(
        "The tenant requires a client certificate, and without SNI this listener requests none.",
        "Check whether the device can send SNI.",
        "Have the device send SNI, or set the listener's client_auth.mode to optional.",
    ),
    Reason.PEER_REFUSED: ManualEntry(
        "The matching peer has action: refuse.",
        "Ask the author of that entry why it is there.",
        "Remove the entry if the device may connect after all.",
        advice="Remove action: refuse{at}, if {calling} may connect after all.",
    ),
    Reason.IDENTITY_REQUIRED: ManualEntry(
        "A user is required, and the request names none.",
        NOT_GIVEN,
        NOT_GIVEN,
        advice="Log in on the device as a user whom the peer names{at}.",
    ),
    Reason.IDENTITY_REFUSED: ManualEntry("The user was not accepted.", NOT_GIVEN, NOT_GIVEN),
    Reason.IDENTITY_UNAVAILABLE: ManualEntry("No identity provider can verify the user.", NOT_GIVEN, NOT_GIVEN),
    Reason.ASSOCIATION_LIMIT: ManualEntry(
        "As many associations are open as max_associations of the tenant or of the peer allows.",
        "Run `dicomgate top`: it shows what keeps associations open.",
        "If it is rare, nothing: the device tries again. Otherwise raise max_associations.",
    ),
    Reason.DRAINING: ManualEntry("The gateway is about to stop.", NOTHING, "Nothing: the device tries again."),
}
