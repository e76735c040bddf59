"""Reasons of the upstream and of an open association."""

from proxy.explain.manual.entry import ManualEntry
from proxy.policy import Reason

_PASSED_ON = "The PACS's own answer: the gateway passed it on unchanged."

UPSTREAM = {
    Reason.UPSTREAM_UNAVAILABLE: ManualEntry(
        "The PACS cannot be reached, or closes the connection instead of answering. The detail of the record says how "
        "each of its addresses failed.",
        "Run `dicomgate status`: it shows each server with its last health check. Then run `dicomgate echo HOST:PORT "
        "--called TITLE` on the gateway's machine.",
        "Repair the PACS or the network to it; correct the upstream's servers if they are wrong.",
    ),
    Reason.UPSTREAM_TIMEOUT: ManualEntry(
        "The PACS accepted the connection, but did not answer the request within timeouts.upstream_accept.",
        "Check whether the PACS is overloaded or hangs.",
        "Repair the PACS, or raise timeouts.upstream_accept. With a second server, a health_check of type echo keeps "
        "associations away from the one that hangs.",
    ),
    Reason.UPSTREAM_TLS_FAILED: ManualEntry(
        "TLS to the PACS failed: over its certificate, the gateway's, or versions and suites. The detail of the record "
        "says which.",
        "Run `dicomgate echo HOST:PORT --tls` with --sni, --ca and --cert as in the upstream's tls: it shows the "
        "certificate that the PACS sends.",
        "Correct ca or server_name of the upstream's tls. If the PACS refuses the gateway's certificate, it must trust "
        "the CA of tls.certificate.",
    ),
    Reason.UPSTREAM_PROTOCOL_ERROR: ManualEntry(
        "The upstream's answer is not DICOM.",
        "Check that the address and port of the upstream are the PACS's.",
        "Correct the upstream's servers.",
    ),
    Reason.UPSTREAM_LOOP: ManualEntry(
        "The upstream leads back to this gateway: by its own address, or through a load balancer, a port forwarder, "
        "NAT or another gateway.",
        "Find the event `upstream_loop` in the log, which has the same name as this reason: it names the server.",
        "Correct the address of the server, or the configuration of the systems in between. The gateway tests such "
        "a loop again after 30 s.",
    ),
    Reason.INTERNAL: ManualEntry(
        "A bug of the gateway ended this one association.",
        "Find the event `internal` in the log, beside the record.",
        "Report the bug, with that event and the record.",
    ),
    Reason.UPSTREAM_REJECTED: ManualEntry(
        "The gateway accepted the request and the PACS rejected it.",
        "Check that the PACS knows the calling AE title, and the gateway's address if it compares addresses.",
        "Add them to the configuration of the PACS.",
        sender=_PASSED_ON,
    ),
    Reason.UPSTREAM_ABORTED: ManualEntry(
        "The gateway accepted the request, and the PACS aborted it instead of answering.",
        "Read the log of the PACS.",
        "Correct what it shows.",
        sender=_PASSED_ON,
    ),
    Reason.OPERATION_NOT_ALLOWED: ManualEntry(
        "A DIMSE request on an open association needs an operation that is not in the peer's allow, or came from the "
        "side that does not have the role for it. It was not forwarded; the association continues.",
        "Read the event `operation_refused`, or `refused_operations` of the record: they name the operation.",
        "Add the operation to the peer's allow, or disable it on the device.",
    ),
    Reason.MOVE_DESTINATION_NOT_ALLOWED: ManualEntry(
        "A C-MOVE names a destination AE title that is not in the peer's move_destinations. It was not forwarded; the "
        "association continues.",
        "Read the event `operation_refused`, or `refused_operations` of the record: they name the destination.",
        "Add the title to the peer's move_destinations, or correct the destination on the device.",
    ),
    Reason.POLICY_CHANGED: ManualEntry(
        "The configuration that was reloaded would refuse this association, so the gateway ended it.",
        "Read the detail of the record: it names the rule.",
        "If the device is to continue, correct the configuration and reload; the device may connect again at once.",
    ),
    Reason.DISCONNECTED: ManualEntry(
        "An operator ended the association (`dicomgate disconnect`).",
        "Ask the operator.",
        "Nothing: the device may connect again at once. To keep it out, change its peer and reload.",
    ),
}
