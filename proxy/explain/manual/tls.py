"""Reasons of TLS: server name, handshake, client certificate."""

from proxy.explain.manual.entry import ManualEntry
from proxy.policy import Reason

# With TLS 1.3 a client has finished its handshake before the server reads the client's certificate.
_CERTIFICATE_ALERT = (
    "A TLS error about its certificate. With TLS 1.3 the handshake can seem to succeed before the association fails. "
    "Many devices show only a network error."
)
_LEGACY_LISTENER = "Update the device, or give it a listener of its own with a legacy profile and networks."

TLS = {
    Reason.SNI_UNKNOWN: ManualEntry(
        "The client asked for a server name (SNI) that no tenant of the listener has.",
        "Compare `sni` of the record with the tenants' server_names.",
        "Correct the host name on the device, add it to the tenant's server_names, or set the listener's unknown_sni "
        "to match.",
    ),
    Reason.SNI_MISMATCH: ManualEntry(
        "OpenSSL read another server name in the ClientHello than the gateway did.",
        "Keep the record and find out what sent it: no correct client causes this.",
        "Update or remove that client.",
    ),
    Reason.SNI_MISSING: ManualEntry(
        "The client sent no server name (SNI), and the listener demands one.",
        "Check whether the device is configured with an address instead of a host name. DCMTK and Orthanc send no SNI.",
        "Configure the device with a host name and SNI, or set the listener's without_sni to match.",
    ),
    Reason.TLS_VERSION: ManualEntry(
        "The client offered no TLS version of the profile.",
        "Read the detail of the record: it names the versions that the client offered.",
        _LEGACY_LISTENER,
    ),
    Reason.TLS_NO_SHARED_CIPHER: ManualEntry(
        "The client offered no cipher suite, group or signature algorithm that fits the profile and the gateway's "
        "certificates.",
        "Check that the listener has an RSA and an ECDSA certificate; the detail of the record says what was offered.",
        "Serve both kinds of certificates. " + _LEGACY_LISTENER,
    ),
    Reason.CLIENT_CERTIFICATE_MISSING: ManualEntry(
        "A client certificate is required, and the client sent none.",
        "Check that the device has a certificate with its key, and is configured to send it.",
        "Install a certificate with its key on the device (`dicomgate pki issue`), and have it sent.",
        sender=_CERTIFICATE_ALERT,
    ),
    Reason.CLIENT_CERTIFICATE_UNTRUSTED: ManualEntry(
        "The client's certificate does not lead to a CA that the gateway trusts, and is not pinned.",
        "Run `dicomgate pki inspect FILE` on it: that shows its issuer, and where a configuration can use it.",
        "Add its CA under client_auth.ca, or a self-signed certificate under cert.file of its peer. Have the device "
        "send its intermediates.",
        sender=_CERTIFICATE_ALERT,
    ),
    Reason.CLIENT_CERTIFICATE_EXPIRED: ManualEntry(
        "The client's certificate, or a CA certificate above it, has expired.",
        "Check the dates with `dicomgate pki inspect FILE`, then the clock of the gateway.",
        "Issue a new certificate for the device.",
        sender=_CERTIFICATE_ALERT,
    ),
    Reason.CLIENT_CERTIFICATE_NOT_YET_VALID: ManualEntry(
        "The client's certificate, or a CA certificate above it, is not valid yet.",
        "Check the clocks of the gateway and of the machine that issued the certificate.",
        "Correct the clock; if the issuer's was wrong, issue the certificate again.",
        sender=_CERTIFICATE_ALERT,
    ),
    Reason.CLIENT_CERTIFICATE_WRONG_USAGE: ManualEntry(
        "The client's certificate is not for clients: its extended key usage lacks clientAuth.",
        "Run `dicomgate pki inspect FILE` on it, and read the line `usage`.",
        "Issue a certificate with clientAuth, or without that extension, for the device.",
        sender=_CERTIFICATE_ALERT,
    ),
    Reason.CLIENT_CERTIFICATE_WEAK: ManualEntry(
        "The client's certificate, or one above it, has a weak key or a weak signature. If the gateway judges it "
        "after the handshake (B.13 and legacy profiles), the answer is A-ASSOCIATE-RJ 1/1/3.",
        "Run `dicomgate pki inspect FILE` on it, and read the line `key`.",
        "Issue a certificate for the device with RSA of 2048 bits or EC of 256 bits at least, signed with SHA-2.",
        sender=_CERTIFICATE_ALERT,
    ),
    Reason.TLS_PEER_ALERT: ManualEntry(
        "The client ended the handshake with an alert. Most often it does not trust the gateway's certificate.",
        "Read the alert in the detail of the record; check which CA the device trusts and which host name it calls.",
        "Import the CA of the gateway's certificate into the device, and use a host name that the certificate has.",
        sender="The device's own TLS error, such as an unknown CA or a host name that does not match.",
    ),
    Reason.TLS_TIMEOUT: ManualEntry(
        "The TLS handshake did not complete within timeouts.tls_handshake.",
        "Check whether the device waits for a user to confirm the gateway's certificate.",
        "Confirm or import the certificate on the device. If device or network really are that slow, raise "
        "timeouts.tls_handshake.",
    ),
    Reason.TLS_FAILED: ManualEntry(
        "TLS failed for another cause; the detail of the record has OpenSSL's words.",
        "Read the device's log; run `dicomgate echo` and `openssl s_client` from the device's network.",
        "Correct what these show.",
    ),
    Reason.CLIENT_CERTIFICATE_REVOKED: ManualEntry(
        "The client's certificate is in a CRL, or under client_auth.revoked.",
        "Find out why it was revoked, and whether the device still uses it.",
        "Issue a new certificate for the device.",
    ),
    Reason.CLIENT_CERTIFICATE_CRL_STALE: ManualEntry(
        "The CRL of the certificate's issuer is past its nextUpdate, and crl_expired is refuse.",
        "Run `dicomgate check`: it prints the nextUpdate of each CRL.",
        "Fetch a current CRL from the CA and put it under client_auth.crl; `dicomgate reload` loads it at once.",
    ),
    Reason.CLIENT_CERTIFICATE_WRONG_CA: ManualEntry(
        "The client's certificate is valid, but its CA is not one of the tenant's, or a pinned certificate issued it.",
        "Compare the certificate's issuer (`dicomgate pki inspect FILE`) with the tenant's client_auth.ca.",
        "Use a certificate of the tenant's own CA, or add that CA to the tenant's client_auth.ca.",
        advice="Use a certificate of the tenant's own CA, or add that CA to client_auth.ca{of_tenant}.",
    ),
}
