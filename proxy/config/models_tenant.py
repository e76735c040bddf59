"""`tenants`: who may do what, for whom."""

from typing import TYPE_CHECKING, Literal

from pydantic import ConfigDict

from proxy.config import fields as f
from proxy.config.fields import Frozen, default, mandatory
from proxy.config.models import TenantTlsModel
from proxy.dimse.services import PRESETS, Operation

if TYPE_CHECKING:
    AllowWord = str
else:
    # At run time a Literal takes computed words; a type checker needs them written out.
    AllowWord = Literal[(*(operation.value for operation in Operation), *PRESETS)]


class PeerCertificate(Frozen):
    """Every given kind must match the verified client certificate; inside a kind any one."""

    file: list[f.File] | None = default(
        None, "Exactly this certificate, self-signed or not: trusted for this peer, never as an issuer."
    )
    san_dns: list[f.CertificateName] | None = default(None, "DNS names; * stands for one label.")
    san_uri: list[f.Uri] | None = default(None, "URIs; * does not cross a /.")
    subject_cn: list[f.String] | None = default(None, "Common names of the subject.")
    sha256: list[f.Fingerprint] | None = default(None, "Of the certificate, hex, colons allowed.")
    spki_sha256: list[f.SpkiPin] | None = default(None, "Of its public key, base64.")
    ca: list[f.Name] | None = default(None, "Names from client_auth.ca.")


class PeerUser(Frozen):
    """Either may match the verified user."""

    names: list[f.String] | None = default(None, "User names.")
    groups: list[f.String] | None = default(None, "Groups.")


class PeerRewrite(Frozen):
    """What the upstream sees instead."""

    calling_aet: f.Nullable[f.AeTitle] = default(None, "The calling AE title that the upstream sees.")


class PeerModel(Frozen):
    """One entry of the allowlist. The first that matches wins."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"action": {"const": "refuse"}}, "required": ["action"]},
            "else": {"required": ["allow"]},
        }
    )

    name: f.Label | None = default(None, "Unique in the tenant; default: the title. Used in metrics, logs, top.")
    aet: f.OneOrMany[list[f.AeTitlePattern]] = mandatory('A title, a list of titles, a pattern with * and ?, or "*".')
    source: f.AnyOr[list[f.NetworkRange]] = default("any", "Addresses and ranges it may come from.", alias="from")
    cert: PeerCertificate | None = default(None, "What its client certificate must be.")
    user: PeerUser | None = default(None, "Which user it must name.")
    action: f.Word[Literal["accept", "refuse"]] = default("accept", "What happens to whom this entry matches.")
    allow: list[f.Word[AllowWord]] | None = default(
        None,
        "Operations, or all, modality (echo store worklist mpps storage_commitment), viewer (echo find move get). "
        "Mandatory, but with action: refuse.",
    )
    sop_classes: f.AnyOr[list[f.SopClassUid]] = default("any", "SOP classes by keyword or UID.")
    transfer_syntaxes: f.AnyOr[list[f.TransferSyntaxUid]] = default("any", "Transfer syntaxes by keyword or UID.")
    move_destinations: f.AnyOr[list[f.AeTitlePattern]] = default(["self"], "Titles and patterns, self, or any.")
    max_associations: f.Nullable[f.Count] = default(None, "Of this entry, all its titles together.")
    rewrite: PeerRewrite = default({}, "What the upstream sees instead.")
    comment: f.Comment | None = default(None, "For people.")


class TenantRewrite(Frozen):
    """What the upstream sees instead."""

    called_aet: f.Nullable[f.AeTitle] = default(None, "What the upstream is called by.")


class UserIdentityModel(Frozen):
    """User identity of the association request (PS3.7 annex D.3.3.7)."""

    mode: f.Word[Literal["off", "optional", "required"]] = default("off", "off: passed on untouched.")
    providers: list[f.Name] | None = default(None, "Names under identity_providers, asked in order.")
    forward: f.Word[Literal["strip", "pass"]] = default("strip", "Whether the upstream sees it.")
    allow_plain: f.Boolean = default("false", "true: a passcode or token may come over a plaintext listener.")


class TenantModel(Frozen):
    """What a server name, or matching, selects: its senders, its called AE titles, its PACS."""

    server_names: list[f.ServerName] | None = default(None, "Left out: not reachable by a name of its own.")
    networks: f.AnyOr[list[f.NetworkRange]] = default("any", "Where this tenant's senders come from.")
    tls: f.Nullable[TenantTlsModel] = default(
        None, "profile, certificates, client_auth of this tenant; each key not given is the listener's."
    )
    called_aets: f.AnyOr[list[f.AeTitle]] = mandatory("The called AE titles, or any.")
    upstream: f.Name = mandatory("The upstream.")
    routes: dict[f.AeTitle, f.Name] | None = default(None, "Other called AE titles and their upstreams.")
    observe_until: f.Nullable[f.Moment] = default(
        None,
        "Until then refusals by policy are logged and counted as would_refuse and let pass; TLS, certificates and "
        "tenant separation are never lifted.",
    )
    uniform_rejects: f.Boolean = default("false", "Every permanent refusal reads the same.")
    aet_case: f.Word[Literal["exact", "fold"]] = default("exact", "How AE titles are compared.")
    accept_nul_padding: f.Boolean = default(
        "false", "true: AE titles padded with NULs are accepted and forwarded padded with spaces."
    )
    max_associations: f.Nullable[f.Count] = default(None, "null: no cap but limits.connections.")
    idle: f.Nullable[f.DurationOrNever] = default(None, "Overrides timeouts.idle.")
    rewrite: TenantRewrite = default({}, "What the upstream sees instead.")
    user_identity: UserIdentityModel = default({}, "User identity of the association request.")
    peers: list[PeerModel] = mandatory(
        "First match wins; none matches: refused. A title named literally in any peer is never matched by a pattern."
    )
