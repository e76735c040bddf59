"""Every code of a finding: its meaning, and the remedy for an administrator.

`E`: the configuration is refused. `W`: it loads, but probably does something that its author did not intend. The
hundreds stand for the stage of loading: 1 the text, 2 names and combinations of values, 3 files and certificates,
9 features that are not built. docs/reference/codes.md is generated from this table.
"""

from typing import NamedTuple


class Code(NamedTuple):
    """The texts of one code: the fault, and the action that removes it."""

    meaning: str
    remedy: str


CODES: dict[str, Code] = {
    "E101": Code("the file cannot be read", "Check the path and its permissions for the user of dicomgate."),
    "E102": Code("the file is not UTF-8 text", "Save it as UTF-8 and remove control characters."),
    "E103": Code(
        "the YAML cannot be parsed", "Check quotes, brackets and indentation at the line and those before it."
    ),
    "E104": Code(
        "an anchor, alias, tag, directive or second document",
        "Write the value out; use `tenant_defaults` for what tenants share.",
    ),
    "E105": Code("a key set twice", "Remove one of the two; the message names the line of the first."),
    "E106": Code(
        "a list or mapping that is present but empty",
        "Leave the key out to get its default, or write `any` where the key accepts it.",
    ),
    "E107": Code("the file is nested too deeply", "Check the indentation; no key of the reference needs more levels."),
    "E108": Code(
        "an include that cannot be followed",
        "Make each pattern match at least one file, each file only once, holding nothing but tenants, upstreams and "
        "identity_providers.",
    ),
    "E109": Code(
        "an environment variable that is not set, or a malformed ${...}",
        "Set the variable, give a default with ${NAME:-default}, or write $${ for a literal ${.",
    ),
    "E110": Code("a value that its key does not accept", "The message states what the key accepts."),
    "E111": Code("an unknown key", "Correct the spelling or move the key; the message suggests where it belongs."),
    "E112": Code("a mandatory key is missing", "Add it; examples/reference.yaml shows every key."),
    "E201": Code("a name that nothing defines", "Correct the spelling, or define what is named."),
    "E202": Code(
        "an include file's own upstream or identity provider, named by a tenant of another file",
        "Move the definition to the main file, or the tenant to the file that defines it.",
    ),
    "E203": Code("a name used twice", "Rename or remove one of the two."),
    "E204": Code("one server name in two tenants of a listener", "Give each server name to one tenant per listener."),
    "E205": Code("an address bound twice", "Give each listener, and the admin server, an address or port of its own."),
    "E206": Code(
        "a plaintext listener that does not list its tenants",
        "Add `tenants` with the tenants that may be reached without TLS, or add `tls`.",
    ),
    "E207": Code(
        "a legacy profile on a listener without networks",
        "Limit the listener with `networks` to the devices that need the profile, or choose a current profile.",
    ),
    "E208": Code(
        "client certificates are required, but none is trusted",
        "Add `client_auth.ca`, or pin each device's certificate with `cert.file` of its peer.",
    ),
    "E209": Code("an upstream server is the gateway itself", "Set the address to that of the PACS."),
    "E210": Code(
        "an upstream is dialled by address over TLS, and nothing states the name in its certificate",
        "Set `tls.server_name`, or `tls.verify_name: false` to accept any certificate of the CA.",
    ),
    "E211": Code(
        "a source address of another IP version than a server",
        "Use a source address of the server's version, or move the server to an upstream of its own.",
    ),
    "E212": Code("a server listed twice in an upstream", "Remove one; `weight` gives a server a larger share."),
    "E301": Code("a file that the configuration names cannot be read", "Check the path, type, size and permissions."),
    "E302": Code("a file that does not contain what its key needs", "Convert or replace the file as the message says."),
    "E303": Code("a certificate that does not match its key", "Put the leaf certificate first and name its own key."),
    "E304": Code("a private key that every user can read", "chmod o-rwx; on Kubernetes set defaultMode: 0440."),
    "E305": Code("an encrypted private key", "Decrypt it: `openssl pkey -in FILE -out NEW`."),
    "E306": Code("a certificate of the gateway has expired or is not yet valid", "Renew it, or check the clock."),
    "E307": Code(
        "a weak key or signature in a certificate of the gateway", "Issue it again: RSA 2048, EC P-256, SHA-2."
    ),
    "E308": Code("a device certificate among the CAs", "Pin it with `cert.file` of its peer instead."),
    "E309": Code(
        "a CRL that cannot be used", "Name a CRL in PEM or DER that one of the CAs in `client_auth.ca` signed."
    ),
    "E310": Code("a secret that is not there", "Set the variable, or add LoadCredential= to the systemd unit."),
    "E311": Code(
        "a TLS context that cannot be built, or fails in a handshake with itself",
        "The message is OpenSSL's; check the profile against the certificates and the system's OpenSSL.",
    ),
    "E312": Code(
        "OpenSSL does not work on this system", "Check openssl.cnf ($OPENSSL_CONF), FIPS mode and getrandom(2)."
    ),
    "E900": Code("a feature that is not built yet", "Leave the key out, or give it the value in the message."),
    "W201": Code(
        "tenants that cannot be told apart without SNI",
        "Give them different `networks`, client CAs or called AE titles, or set `without_sni: reject`.",
    ),
    "W202": Code(
        "a peer that can never match", "Remove it, move it before the peer that takes its requests, or widen the limit."
    ),
    "W203": Code(
        "a peer on a public listener that only its AE title identifies",
        "Add `from` or `cert` to the peer: any client can claim an AE title.",
    ),
    "W204": Code("a range that contains every address", "Write `any` if that is meant, or the range that is."),
    "W205": Code("a tenant that no listener reaches", "Add it to `tenants` of a listener, or remove it."),
    "W206": Code("a setting without effect", "Remove it, or add what the message says it needs."),
    "W207": Code(
        "a tenant weaker than its listener", "Remove the tenant's setting, unless the difference is intended."
    ),
    "W208": Code(
        "client certificates are requested, but none is trusted",
        "Add `client_auth.ca` or a pinned certificate, or set `client_auth.mode: none`.",
    ),
    "W209": Code("an operation that another word of `allow` includes", "Remove one of the two."),
    "W210": Code("a SOP class that `allow` never permits", "Add the operation in the message, or remove the class."),
    "W211": Code(
        "transfer syntaxes without Implicit VR Little Endian",
        "Add ImplicitVRLittleEndian: every device must support it (PS3.5 section 10.1), some support nothing else.",
    ),
    "W212": Code("a source address that this machine does not have", "Add the address to an interface, or correct it."),
    "W301": Code("a certificate that expires soon, or a CA that has expired", "Renew it, then reload."),
    "W302": Code(
        "a certificate that does not cover a server name", "Issue it again with the name among its DNS names."
    ),
    "W303": Code("a certificate of the gateway that many peers cannot use", "Issue it as the message says."),
    "W304": Code(
        "a pinned certificate that will be refused", "Replace the certificate on the device, then pin the new one."
    ),
    "W305": Code("a CRL past its next update", "Publish a new CRL and replace the file."),
}
