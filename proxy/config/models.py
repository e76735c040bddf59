"""Every key of the configuration outside `tenants`: the models are the documentation and the JSON Schema."""

from typing import Any, Literal

from pydantic import GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from proxy.config import fields as f
from proxy.config.fields import Frozen, default, mandatory
from proxy.config.tree import Block

Profile = Literal[
    "bcp195-rfc8996",
    "bcp195-rfc8996-modified",
    "bcp195-extended",
    "bcp195-nondowngrading",
    "legacy-bcp195",
    "legacy-aes",
]
LEGACY_PROFILES = frozenset({"legacy-bcp195", "legacy-aes"})


class Secret(Frozen):
    """A secret is never written into the configuration itself."""

    file: f.File | None = default(None, "A file that holds it.")
    env: f.String | None = default(None, "An environment variable that holds it.")
    credential: f.Name | None = default(None, "A systemd credential: a file in $CREDENTIALS_DIRECTORY.")

    @model_validator(mode="before")
    @classmethod
    def _not_in_the_open(cls, value: object) -> object:
        if isinstance(value, str):
            raise ValueError("a secret is written as {file: ...}, {env: NAME} or {credential: name}")
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> "Secret":
        if len(self.model_fields_set) != 1:
            raise ValueError("give exactly one of file, env and credential")
        return self


class CertificateModel(Frozen):
    """A server certificate: `chain` and `key`, or `dir`."""

    chain: f.File | None = default(None, "PEM file: the server certificate, then what leads from it to the root.")
    key: Secret | None = default(None, "The PEM private key, not encrypted.")
    dir: f.File | None = default(None, "A folder that holds tls.crt and tls.key.")

    @model_validator(mode="after")
    def _one_form(self) -> "CertificateModel":
        if self.model_fields_set not in ({"chain", "key"}, {"dir"}):
            raise ValueError("give chain and key, or dir alone")
        return self


class ClientCa(Frozen):
    """CAs of client certificates by name, or `from_tenants`."""

    files: dict[f.Name, f.File] = default({}, "name -> PEM file")
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
    """Whether client certificates are asked for, and which are trusted."""

    mode: f.Word[Literal["none", "optional", "required"]] = default("none", "optional: absent is fine, invalid never.")
    ca: f.Nullable[ClientCa] = default(
        None,
        "PEM file, or names for several, or from_tenants: all CAs of the tenants here, and the certificate's CA must "
        "be one of the chosen tenant's.",
    )
    crl: f.Nullable[f.OneOrMany[list[f.File]]] = default(
        None,
        "PEM file(s); only certificates of issuers that have a CRL here are looked up in one. Without a server "
        "name those of every tenant of the listener count.",
    )
    crl_expired: f.Word[Literal["refuse", "accept"]] = default(
        "refuse", "Past nextUpdate; accept: keep using the old list, with a warning and a metric."
    )
    revoked: list[f.Fingerprint] = default(
        [],
        "SHA-256 fingerprints refused whatever the CA says. Without a server name those of every tenant count.",
    )


class TenantTlsModel(Frozen):
    """`tls` of a tenant: each key not given is the listener's."""

    profile: f.Word[Profile] = default("bcp195-rfc8996", "What is negotiated (PS3.15 annex B).")
    certificates: list[CertificateModel] | None = default(None, "One or more, e.g. RSA and ECDSA.")
    client_auth: ClientAuthModel = default({}, "Client certificates.")


class ListenerTlsModel(TenantTlsModel):
    """`tls` of a listener."""

    certificates: list[CertificateModel] = mandatory("One or more, e.g. RSA and ECDSA.")


class ProxyProtocolModel(Frozen):
    """The PROXY protocol in front of TLS."""

    version: f.Word[Literal["any", "v1", "v2"]] = default("any", "Which versions are read.")
    trusted: list[f.NetworkRange] = mandatory(
        "Where the header may come from: tests the socket's address, all else the header's."
    )


class ListenerModel(Frozen):
    """Where senders connect."""

    bind: list[f.LocalAddress] = mandatory('Addresses to listen on, like "0.0.0.0:2762" and "[::]:2762".')
    networks: f.AnyOr[list[f.NetworkRange]] = default("any", "Addresses and ranges that may connect at all.")
    tenants: f.AllOr[list[f.Name]] = default(
        "all", "The tenants that may be reached here; a plaintext listener must list them."
    )
    proxy_protocol: f.Nullable[ProxyProtocolModel] = default(
        None, "A PROXY header is demanded of those who are trusted."
    )
    tls: f.Nullable[ListenerTlsModel] = default(None, "Left out: a plaintext listener.")
    without_sni: f.Word[Literal["match", "reject"]] = default(
        "match", "match: by source address, client certificate and called AE title."
    )
    unknown_sni: f.Word[Literal["match", "reject"]] = default(
        "reject", "What a client with an unknown server name gets."
    )
    default_tenant: f.Nullable[f.Name] = default(None, "Takes what matches no tenant.")


class LogModel(Frozen):
    """The log."""

    level: f.Word[Literal["debug", "info", "warning", "error"]] = default(
        "info", "The least severe event that is written."
    )
    format: f.Word[Literal["json", "console"]] | None = default(None, "Left out: console on a terminal, else json.")


class AccessLog(Frozen):
    """The access log."""

    path: f.String = default("-", '"-" is standard output; a file is reopened on SIGUSR1.')


class Admin(Frozen):
    """/metrics, /healthz, /readyz, /api/v1."""

    listen: f.LocalAddress = default("127.0.0.1:9280", "Address of the admin server.")


class ReloadModel(Frozen):
    """What is watched for changes, by content."""

    watch: f.Word[Literal["certificates", "all", "off"]] = default(
        "certificates", "certificates (keys, CAs, CRLs, htpasswd too), all (also the configuration), or off."
    )
    interval: f.Duration = default("60s", "How often.")


class TimeoutsModel(Frozen):
    """Every wait in the proxy is one of these."""

    proxy_header: f.Duration = default("5s", "For the PROXY header.")
    client_hello: f.Duration = default("10s", "From accept, or from the end of the PROXY header.")
    tls_handshake: f.Duration = default("10s", "From the ClientHello to the end of the handshake.")
    artim: f.Duration = default("10s", "From the end of the handshake to a complete A-ASSOCIATE-RQ (PS3.8 9.1.5).")
    identity: f.Duration = default("5s", "For the identity providers.")
    upstream_connect: f.Duration = default("5s", "Name, TCP, and TLS where the upstream has it.")
    upstream_accept: f.Duration = default("30s", "From the forwarded request to A-ASSOCIATE-AC or -RJ.")
    idle: f.DurationOrNever = default("30m", "No byte in either direction.")
    close: f.Duration = default("5s", "After RJ, ABORT or release, until the peer closes.")
    unacknowledged: f.Duration = default("10m", "TCP_USER_TIMEOUT; also ends a peer whose window stays shut.")
    drain_delay: f.DurationOrZero = default("0s", "On SIGTERM: not ready, but still accepting, for this long.")
    drain: f.DurationOrZero = default("5m", "On SIGTERM: then what is still open is aborted.")


class LimitsModel(Frozen):
    """Caps that no peer can raise."""

    connections: f.Count = default("10000", "All listeners and workers together.")
    connections_per_address: f.Count = default("256", "From one source address.")
    handshakes_per_address: f.Count = default("32", "Connections that have no accepted association yet.")
    associate_rq: f.AssociateRqSize = default("256KiB", "The longest A-ASSOCIATE-RQ; hard ceiling 8454667 bytes.")
    presentation_contexts: f.Contexts = default("128", "Presentation contexts of one request.")


class ServerModel(Frozen):
    """One server of an upstream."""

    address: f.RemoteAddress = mandatory("host:port")
    weight: f.Weight = default("1", "Its share, beside the others'.")
    backup: f.Boolean = default("false", "Asked only when no other is up.")


class UpstreamTlsModel(Frozen):
    """TLS towards an upstream."""

    profile: f.Word[Profile] = default("bcp195-rfc8996", "What is offered (PS3.15 annex B).")
    server_name: f.NameOfServer | None = default(
        None, "Sent as SNI and checked; left out: the host of the address. An address is checked, and not sent."
    )
    ca: f.File | None = default(None, "PEM file, or `system` (the default).")
    certificate: f.File | None = default(None, "PEM file: the gateway's client certificate and its chain.")
    key: Secret | None = default(None, "Its private key.")
    verify_name: f.Boolean = default("true", "false: any certificate of the CA will do.")

    @model_validator(mode="before")
    @classmethod
    def _system_is_the_default(cls, value: object) -> object:
        if isinstance(value, Block) and value.get("ca") == "system":
            return {key: item for key, item in value.items() if key != "ca"}
        return value

    @model_validator(mode="after")
    def _pair(self) -> "UpstreamTlsModel":
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together")
        return self


class HealthCheckModel(Frozen):
    """An active health check. An A-ASSOCIATE-RJ counts as up and is shown as such."""

    type: f.Word[Literal["tcp", "echo"]] = mandatory("echo is a real C-ECHO.")
    interval: f.Duration = default("10s", "Between two checks.")
    timeout: f.Duration = default("3s", "For one check.")
    rise: f.Count = default("2", "Successes in a row that make a server up.")
    fall: f.Count = default("3", "Failures in a row that make it down.")
    calling_aet: f.AeTitle = default("DICOMGATE", "Calling AE title of the check.")
    called_aet: f.AeTitle | None = default(None, "Called AE title of the check; `echo` needs it.")

    @model_validator(mode="after")
    def _echo_calls_somebody(self) -> "HealthCheckModel":
        if self.type == "echo" and self.called_aet is None:
            raise ValueError("type echo needs called_aet")
        return self


class UpstreamModel(Frozen):
    """A PACS."""

    servers: list[ServerModel] = mandatory("Its servers.")
    balance: f.Word[Literal["least_associations", "round_robin", "first_up"]] = default(
        "least_associations", "How a server is chosen."
    )
    tls: f.Nullable[UpstreamTlsModel] = default(None, "Left out: plain DICOM.")
    send_proxy_protocol: f.Nullable[f.Word[Literal["v1", "v2"]]] = default(None, "Send a PROXY header.")
    source_address: f.Nullable[f.Address] = default(None, "Local address to dial from.")
    health_check: f.Nullable[HealthCheckModel] = default(None, "null: passive only.")
