"""The identity providers and the configuration as a whole."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag, WithJsonSchema

from proxy.config import fields as f
from proxy.config.fields import Frozen, default, mandatory
from proxy.config.models import (
    AccessLog,
    Admin,
    LimitsModel,
    ListenerModel,
    LogModel,
    ReloadModel,
    Secret,
    TimeoutsModel,
    UpstreamModel,
)
from proxy.config.models_tenant import TenantModel
from proxy.config.values import DEFAULT_CONTROL


class HtpasswdProvider(Frozen):
    """bcrypt or argon2 lines; DICOM user identity types 1 and 2."""

    type: f.Word[Literal["htpasswd"]] = mandatory("htpasswd")
    file: f.File = mandatory("The htpasswd file.")


class JwtProvider(Frozen):
    """JSON Web Tokens; DICOM user identity type 5."""

    type: f.Word[Literal["jwt"]] = mandatory("jwt")
    issuer: f.Uri = mandatory("What `iss` must be.")
    audience: list[f.String] = mandatory("`aud` must hold one of these.")
    jwks: f.String = mandatory("URL or file of the key set.")
    algorithms: list[
        f.Word[Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]]
    ] = default(["RS256", "ES256"], "Signature algorithms that are accepted.")
    user_claim: f.String = default("sub", "The claim that names the user.")
    groups_claim: f.String = default("groups", "The claim that lists the groups.")
    leeway: f.DurationOrZero = default("30s", "How far clocks may differ.")


class HttpProvider(Frozen):
    """A service that is asked; any DICOM user identity type."""

    type: f.Word[Literal["http"]] = mandatory("http")
    url: f.HttpUrl = mandatory("Where it is asked.")
    timeout: f.Duration = default("2s", "For one answer.")
    on_error: f.Word[Literal["refuse", "accept"]] = default("refuse", "When it does not answer.")
    cache: f.DurationOrZero = default("0s", "How long an answer is kept.")
    token: Secret | None = default(None, "Bearer token of the gateway.")


class LdapProvider(Frozen):
    """A directory (extra `ldap`); DICOM user identity types 1 (with cert or address only) and 2."""

    type: f.Word[Literal["ldap"]] = mandatory("ldap")
    url: f.LdapUrl = mandatory("The directory.")
    start_tls: f.Boolean = default("false", "Upgrade an ldap:// connection.")
    ca: f.String = default("system", "PEM file, or `system`.")
    bind_dn: f.String = mandatory("The name to bind as; {user} is the user.")
    search_base: f.String = mandatory("Where users and groups are.")
    user_filter: f.String = default("(sAMAccountName={user})", "Finds the user.")
    group_filter: f.String = default("(&(objectClass=group)(member={dn}))", "Finds the user's groups.")


class KerberosProvider(Frozen):
    """Kerberos tickets (extra `kerberos`); DICOM user identity type 3."""

    type: f.Word[Literal["kerberos"]] = mandatory("kerberos")
    keytab: Secret = mandatory("The keytab.")
    service: f.String = mandatory("The service principal, like dicom@gate.example.org.")


IdentityProvider = Annotated[
    Annotated[HtpasswdProvider, Tag("htpasswd")]
    | Annotated[JwtProvider, Tag("jwt")]
    | Annotated[HttpProvider, Tag("http")]
    | Annotated[LdapProvider, Tag("ldap")]
    | Annotated[KerberosProvider, Tag("kerberos")],
    Discriminator(lambda value: str(value["type"]) if isinstance(value, dict) and "type" in value else None),
]


class Configuration(Frozen):
    """The whole file. A switch that is not here does not exist."""

    version: Annotated[int, *f.whole(1, 1)] = mandatory("Of this format.")
    include: list[f.String] | None = default(
        None,
        "Patterns of files, e.g. [tenants.d/*.yaml]; such a file holds `tenants`, and `upstreams` and "
        "`identity_providers` that only its own tenants may name.",
    )
    workers: f.Processes = default("auto", "Processes that carry traffic: auto (one per CPU) or a number.")
    control: f.Nullable[f.File] = default(
        DEFAULT_CONTROL, "Unix socket of reload, drain, status, top, disconnect; null turns it off."
    )
    log: LogModel = default({}, "The log.")
    access_log: AccessLog = default({}, "The access log.")
    admin: f.Nullable[Admin] = default({}, "The admin server; null turns it off.")
    reload: ReloadModel = default({}, "What is watched for changes.")
    timeouts: TimeoutsModel = default({}, "Every wait in the proxy.")
    limits: LimitsModel = default({}, "Caps that no peer can raise.")
    listeners: dict[f.Name, ListenerModel] = mandatory("Where senders connect.")
    # Merged under each tenant before anything is checked; the schema gives it the keys of a tenant.
    tenant_defaults: Annotated[Any, WithJsonSchema({"type": "object"})] = default(
        None, "Any keys of a tenant, merged under each tenant key by key."
    )
    tenants: dict[f.Name, TenantModel] = mandatory("Who may do what.")
    identity_providers: dict[f.Name, IdentityProvider] | None = default(None, "Who verifies users.")
    upstreams: dict[f.Name, UpstreamModel] = mandatory("The PACS.")
