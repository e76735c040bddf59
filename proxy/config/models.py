"""The keys of the configuration outside `tenants`, with their types, defaults and descriptions.

They are written only here: loading, the JSON Schema and the reference page read them. A default is the text that the
file would contain. The name of a model ends in `Model` if a checked value or the policy has that name too.
"""

from typing import Any, Literal

from pydantic import GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from proxy.config import fields as f
from proxy.config.fields import Frozen, default, mandatory
from proxy.config.profiles import DEFAULT_PROFILE_NAME, ProfileName
from proxy.config.tree import Block


class Secret(Frozen):
    """A secret: the configuration names its source and never contains it."""

    file: f.File | None = default(None, "A file that contains the secret.")
    env: f.String | None = default(None, "An environment variable that contains the secret.")
    credential: f.Name | None = default(None, "A systemd credential: a file in $CREDENTIALS_DIRECTORY.")

    @model_validator(mode="before")
    @classmethod
    def _not_in_the_open(cls, value: object) -> object:
        if isinstance(value, str):
            raise ValueError("write a secret as {file: ...}, {env: NAME} or {credential: name}")
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> "Secret":
        if len(self.model_fields_set) != 1:
            raise ValueError("give exactly one of file, env and credential")
        return self


class CertificateModel(Frozen):
    """A server certificate: `chain` and `key`, or `dir`."""

    chain: f.File | None = default(None, "PEM file: the server certificate, followed by its intermediate certificates.")
    key: Secret | None = default(None, "The private key in PEM, not encrypted.")
    dir: f.File | None = default(None, "A folder with tls.crt and tls.key, such as a mounted Kubernetes secret.")

    @model_validator(mode="after")
    def _one_form(self) -> "CertificateModel":
        if self.model_fields_set not in ({"chain", "key"}, {"dir"}):
            raise ValueError("give chain and key, or dir alone")
        return self


class ClientCa(Frozen):
    """CAs of client certificates: PEM files by name, or `from_tenants`."""

    files: dict[f.Name, f.File] = default({}, "PEM files by name.")
    from_tenants: bool = False

    @model_validator(mode="before")
    @classmethod
    def _three_forms(cls, value: object) -> object:
        if value == "from_tenants":
            return {"from_tenants": True}
        return {"files": {"default": value} if isinstance(value, str) else value}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        path = {"type": "string", "minLength": 1}
        named = {"type": "object", "minProperties": 1, "additionalProperties": path}
        return {"anyOf": [path, named], "description": "A PEM file, PEM files by name, or `from_tenants`."}


class ClientAuthModel(Frozen):
    """Whether client certificates are requested, and which are trusted."""

    mode: f.Word[Literal["none", "optional", "required"]] = default(
        "none", "none: not requested; optional: a client may have none, but an invalid one is refused; required."
    )
    ca: f.Nullable[ClientCa] = default(
        None,
        "Trusted CAs: a PEM file, several PEM files by name, or from_tenants, which trusts the CAs of all tenants of "
        "the listener; the certificate's CA must then be one of the selected tenant's.",
    )
    crl: f.Nullable[f.OneOrMany[list[f.File]]] = default(
        None,
        "CRLs: one or more files. A certificate is looked up only if its issuer has a CRL here. For clients without "
        "SNI the CRLs of all tenants of the listener apply.",
    )
    crl_expired: f.Word[Literal["refuse", "accept"]] = default(
        "refuse",
        "What to do with a CRL past its nextUpdate. refuse: certificates of its issuer are refused; accept: the old "
        "list stays in use, with a warning and a metric.",
    )
    revoked: list[f.Fingerprint] = default(
        [],
        "SHA-256 fingerprints of certificates that are always refused. For clients without SNI those of all tenants of "
        "the listener apply.",
    )


class TenantTlsModel(Frozen):
    """`tls` of a tenant. A key that is left out has the value of the listener."""

    profile: f.Word[ProfileName] = default(
        DEFAULT_PROFILE_NAME, "The TLS profile: protocol versions and cipher suites (PS3.15 annex B)."
    )
    certificates: list[CertificateModel] | None = default(None, "Server certificates: one or more, e.g. RSA and ECDSA.")
    client_auth: ClientAuthModel = default({}, "Whether client certificates are requested, and which are trusted.")


class ListenerTlsModel(TenantTlsModel):
    """`tls` of a listener."""

    certificates: list[CertificateModel] = mandatory("Server certificates: one or more, e.g. RSA and ECDSA.")


class ProxyProtocolModel(Frozen):
    """The PROXY protocol header that a load balancer sends before TLS."""

    version: f.Word[Literal["any", "v1", "v2"]] = default("any", "The versions that are accepted.")
    trusted: list[f.NetworkRange] = mandatory(
        "Addresses and ranges of the load balancers. Compared with the address of the socket; all other checks use the "
        "address in the header."
    )


class ListenerModel(Frozen):
    """A listener: addresses that senders connect to."""

    bind: list[f.LocalAddress] = mandatory('Addresses to listen on, such as "0.0.0.0:2762" and "[::]:2762".')
    networks: f.AnyOr[list[f.NetworkRange]] = default("any", "Source addresses and ranges that may connect.")
    tenants: f.AllOr[list[f.Name]] = default(
        "all", "The tenants that this listener reaches. Mandatory for a plaintext listener."
    )
    proxy_protocol: f.Nullable[ProxyProtocolModel] = default(
        None, "If set, every connection must begin with a PROXY header."
    )
    tls: f.Nullable[ListenerTlsModel] = default(None, "TLS settings; a listener without them accepts plain DICOM.")
    without_sni: f.Word[Literal["match", "reject"]] = default(
        "match",
        "A client without SNI. match: source address, client certificate and called AE title select the tenant; "
        "reject: a TLS alert.",
    )
    unknown_sni: f.Word[Literal["match", "reject"]] = default(
        "reject", "A client whose SNI no tenant has. match: as without SNI; reject: a TLS alert."
    )
    default_tenant: f.Nullable[f.Name] = default(None, "The tenant of requests that match no tenant.")


class LogModel(Frozen):
    """The log of events."""

    level: f.Word[Literal["debug", "info", "warning", "error"]] = default(
        "info", "The least severe level that is written."
    )
    format: f.Word[Literal["json", "console"]] | None = default(None, "Default: console on a terminal, otherwise json.")


class AccessLog(Frozen):
    """The access log: one record per association."""

    path: f.String = default("-", 'A file, which is reopened on SIGUSR1, or "-": standard output.')


class Admin(Frozen):
    """The admin server: /metrics, /healthz, /readyz, /api/v1."""

    listen: f.LocalAddress = default("127.0.0.1:9280", "Address to listen on.")


class ReloadModel(Frozen):
    """Automatic reload when watched files change. Content is compared, so that a swapped symbolic link counts."""

    watch: f.Word[Literal["certificates", "all", "off"]] = default(
        "certificates",
        "What is watched: certificates (also keys, CAs, CRLs, htpasswd files), all (also the configuration), or off.",
    )
    interval: f.Duration = default("60s", "Time between two comparisons.")


class TimeoutsModel(Frozen):
    """The limit of each wait."""

    proxy_header: f.Duration = default("5s", "From accept to a complete PROXY header.")
    client_hello: f.Duration = default("10s", "From accept, or the end of the PROXY header, to a complete ClientHello.")
    tls_handshake: f.Duration = default("10s", "From the ClientHello to the end of the handshake.")
    artim: f.Duration = default("10s", "From the end of the handshake to a complete A-ASSOCIATE-RQ (PS3.8 9.1.5).")
    identity: f.Duration = default("5s", "For the answer of the identity providers.")
    upstream_connect: f.Duration = default(
        "5s", "To connect to the upstream: DNS, TCP, and TLS if the upstream uses it."
    )
    upstream_accept: f.Duration = default("30s", "From the forwarded A-ASSOCIATE-RQ to the A-ASSOCIATE-AC or -RJ.")
    idle: f.DurationOrNever = default("30m", "Without a byte in either direction on an accepted association.")
    close: f.Duration = default(
        "5s", "After A-ASSOCIATE-RJ, A-ABORT or A-RELEASE-RP, until the peer closes the connection."
    )
    unacknowledged: f.Duration = default(
        "10m", "For a peer to acknowledge data (TCP_USER_TIMEOUT); also ends a peer whose window stays closed."
    )
    drain_delay: f.DurationOrZero = default("0s", "After SIGTERM: how long the gateway is not ready but still accepts.")
    drain: f.DurationOrZero = default("5m", "After that, for open associations to end; those that remain are aborted.")


class LimitsModel(Frozen):
    """Upper limits on what peers may use."""

    connections: f.Count = default("10000", "Open connections of all listeners and workers together.")
    connections_per_address: f.Count = default("256", "Open connections from one source address.")
    handshakes_per_address: f.Count = default(
        "32", "Connections from one source address that have no accepted association yet."
    )
    associate_rq: f.AssociateRqSize = default(
        "256KiB",
        "Length of an A-ASSOCIATE-RQ; at most 8454667 bytes: 128 contexts and the user information, 64 KiB each.",
    )
    presentation_contexts: f.Contexts = default("128", "Presentation contexts of one A-ASSOCIATE-RQ; at most 128.")


class ServerModel(Frozen):
    """One server of an upstream."""

    address: f.RemoteAddress = mandatory("host:port of the server.")
    weight: f.Weight = default("1", "Its share of the associations, relative to the other servers.")
    backup: f.Boolean = default("false", "true: used only while no other server is up.")


class UpstreamTlsModel(Frozen):
    """TLS to an upstream."""

    profile: f.Word[ProfileName] = default(
        DEFAULT_PROFILE_NAME, "The TLS profile: protocol versions and cipher suites offered (PS3.15 annex B)."
    )
    server_name: f.NameOfServer | None = default(
        None,
        "The name sent as SNI and required in the server's certificate. Default: the host of each server's address. "
        "An IP address is required in the certificate but not sent.",
    )
    ca: f.File | None = default(None, "CAs of the server: a PEM file, or `system` (the default).")
    certificate: f.File | None = default(
        None, "PEM file: the client certificate of the gateway, followed by its intermediate certificates."
    )
    key: Secret | None = default(None, "The private key of the client certificate.")
    verify_name: f.Boolean = default("true", "false: any certificate of the CA is accepted, whatever its name.")

    @model_validator(mode="before")
    @classmethod
    def _system_is_the_default(cls, value: object) -> object:
        if isinstance(value, Block) and value.get("ca") == "system":
            return {key: item for key, item in value.items() if key != "ca"}
        return value

    @model_validator(mode="after")
    def _pair(self) -> "UpstreamTlsModel":
        if (self.certificate is None) != (self.key is None):
            raise ValueError("give certificate and key together")
        return self


class HealthCheckModel(Frozen):
    """An active health check. A server that answers A-ASSOCIATE-RJ counts as up."""

    type: f.Word[Literal["tcp", "echo"]] = mandatory("tcp: a connection; echo: an association with a C-ECHO.")
    interval: f.Duration = default("10s", "Time between two checks.")
    timeout: f.Duration = default("3s", "Limit of one check.")
    rise: f.Count = default("2", "Successes in a row after which a server is up.")
    fall: f.Count = default("3", "Failures in a row after which a server is down.")
    calling_aet: f.AeTitle = default("DICOMGATE", "Calling AE title of the check.")
    called_aet: f.AeTitle | None = default(None, "Called AE title of the check; mandatory for echo.")

    @model_validator(mode="after")
    def _echo_needs_called_aet(self) -> "HealthCheckModel":
        if self.type == "echo" and self.called_aet is None:
            raise ValueError("type echo needs called_aet")
        return self


class UpstreamModel(Frozen):
    """A PACS: one or more servers that share its associations."""

    servers: list[ServerModel] = mandatory("The servers of the PACS.")
    balance: f.Word[Literal["least_associations", "round_robin", "first_up"]] = default(
        "least_associations",
        "How a server is selected: fewest associations, in turn, or the first in the list that is up.",
    )
    tls: f.Nullable[UpstreamTlsModel] = default(
        None, "TLS settings; without them the upstream is dialled in plain DICOM."
    )
    send_proxy_protocol: f.Nullable[f.Word[Literal["v1", "v2"]]] = default(None, "Send a PROXY header of that version.")
    source_address: f.Nullable[f.Address] = default(None, "Local address to connect from.")
    health_check: f.Nullable[HealthCheckModel] = default(
        None, "Active health check; null: only failing associations mark a server as down."
    )
