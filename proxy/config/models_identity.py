"""`identity_providers`: services that verify users. Their keys are checked; using one is E900 until they are built."""

from typing import Annotated, Literal

from pydantic import Discriminator, Tag

from proxy.config import fields as f
from proxy.config.fields import Frozen, default, mandatory
from proxy.config.models import Secret


class HtpasswdProvider(Frozen):
    """A file of bcrypt or argon2 hashes, for DICOM user identity types 1 and 2."""

    type: f.Word[Literal["htpasswd"]] = mandatory("htpasswd")
    file: f.File = mandatory("The htpasswd file.")


class JwtProvider(Frozen):
    """JSON Web Tokens, for DICOM user identity type 5."""

    type: f.Word[Literal["jwt"]] = mandatory("jwt")
    issuer: f.Uri = mandatory("The required `iss`.")
    audience: list[f.String] = mandatory("Accepted values of `aud`.")
    jwks: f.String = mandatory("The key set: a URL or a file.")
    algorithms: list[
        f.Word[Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]]
    ] = default(["RS256", "ES256"], "Accepted signature algorithms.")
    user_claim: f.String = default("sub", "The claim with the name of the user.")
    groups_claim: f.String = default("groups", "The claim with the groups of the user.")
    leeway: f.DurationOrZero = default("30s", "Tolerated difference of clocks.")


class HttpProvider(Frozen):
    """An HTTP service that decides, for every DICOM user identity type."""

    type: f.Word[Literal["http"]] = mandatory("http")
    url: f.HttpUrl = mandatory("URL of the service.")
    timeout: f.Duration = default("2s", "Limit of one request.")
    on_error: f.Word[Literal["refuse", "accept"]] = default("refuse", "The decision if the service does not answer.")
    cache: f.DurationOrZero = default("0s", "How long an answer is reused.")
    token: Secret | None = default(None, "Bearer token that the gateway sends.")


class LdapProvider(Frozen):
    """An LDAP directory (extra `ldap`), for DICOM user identity type 2, and 1 of peers with `cert` or `from`."""

    type: f.Word[Literal["ldap"]] = mandatory("ldap")
    url: f.LdapUrl = mandatory("URL of the directory.")
    start_tls: f.Boolean = default("false", "true: upgrade an ldap:// connection to TLS.")
    ca: f.String = default("system", "CAs of the directory: a PEM file, or `system`.")
    bind_dn: f.String = mandatory("The name to bind as; {user} stands for the user.")
    search_base: f.String = mandatory("The subtree with users and groups.")
    user_filter: f.String = default("(sAMAccountName={user})", "Filter that finds the user.")
    group_filter: f.String = default("(&(objectClass=group)(member={dn}))", "Filter that finds the groups of the user.")


class KerberosProvider(Frozen):
    """Kerberos tickets (extra `kerberos`), for DICOM user identity type 3."""

    type: f.Word[Literal["kerberos"]] = mandatory("kerberos")
    keytab: Secret = mandatory("The keytab of the service.")
    service: f.String = mandatory("The service principal, such as dicom@gate.example.org.")


IdentityProvider = Annotated[
    Annotated[HtpasswdProvider, Tag("htpasswd")]
    | Annotated[JwtProvider, Tag("jwt")]
    | Annotated[HttpProvider, Tag("http")]
    | Annotated[LdapProvider, Tag("ldap")]
    | Annotated[KerberosProvider, Tag("kerberos")],
    Discriminator(lambda value: str(value["type"]) if isinstance(value, dict) and "type" in value else None),
]
