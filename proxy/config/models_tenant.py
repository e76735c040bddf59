"""`tenants`: the peers of each tenant, and the operations that each may request."""

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
    """Conditions on the verified client certificate. Each key given must match; of its values, any one."""

    file: list[f.File] | None = default(
        None, "PEM files: exactly this certificate, self-signed or not. Trusted for this peer, never as an issuer."
    )
    san_dns: list[f.CertificateName] | None = default(
        None, "DNS names of the subject alternative name; * stands for one label."
    )
    san_uri: list[f.Uri] | None = default(
        None, "URIs of the subject alternative name; * stands for any characters but /."
    )
    subject_cn: list[f.String] | None = default(None, "Common names of the subject.")
    sha256: list[f.Fingerprint] | None = default(None, "SHA-256 fingerprints of the certificate: hex, colons allowed.")
    spki_sha256: list[f.SpkiPin] | None = default(None, "SHA-256 of the public key (SubjectPublicKeyInfo), base64.")
    ca: list[f.Name] | None = default(None, "Names of CAs in client_auth.ca.")


class PeerUser(Frozen):
    """Conditions on the verified user: one of the names or one of the groups."""

    names: list[f.String] | None = default(None, "User names.")
    groups: list[f.String] | None = default(None, "Groups.")


class PeerRewrite(Frozen):
    """Replacements in the A-ASSOCIATE-RQ that the upstream gets."""

    calling_aet: f.Nullable[f.AeTitle] = default(None, "The calling AE title that the upstream gets.")


class PeerModel(Frozen):
    """One entry of the allowlist. The first entry that matches decides."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"action": {"const": "refuse"}}, "required": ["action"]},
            "else": {"required": ["allow"]},
        }
    )

    name: f.Label | None = default(None, "Name in metrics and logs, unique in the tenant. Default: the first AE title.")
    aet: f.OneOrMany[list[f.AeTitlePattern]] = mandatory(
        "Calling AE titles: one title, a list, or patterns with * and ?."
    )
    source: f.AnyOr[list[f.NetworkRange]] = default("any", "Source addresses and ranges of the peer.", alias="from")
    cert: PeerCertificate | None = default(None, "Conditions on its client certificate.")
    user: PeerUser | None = default(None, "Conditions on its user.")
    action: f.Word[Literal["accept", "refuse"]] = default(
        "accept", "What happens to a request that this entry matches."
    )
    allow: list[f.Word[AllowWord]] | None = default(
        None,
        "Operations, or all, modality (echo store worklist mpps storage_commitment), viewer (echo find move get). "
        "Mandatory unless action is refuse.",
    )
    sop_classes: f.AnyOr[list[f.SopClassUid]] = default("any", "SOP classes that are accepted, by keyword or UID.")
    transfer_syntaxes: f.AnyOr[list[f.TransferSyntaxUid]] = default(
        "any", "Transfer syntaxes that are accepted, by keyword or UID."
    )
    move_destinations: f.AnyOr[list[f.AeTitlePattern]] = default(
        ["self"], "Move destinations: AE titles, patterns, self (the calling AE title), or any."
    )
    max_associations: f.Nullable[f.Count] = default(
        None, "Associations of this entry, all its titles together; null: no limit."
    )
    rewrite: PeerRewrite = default({}, "Replacements in the A-ASSOCIATE-RQ that the upstream gets.")
    comment: f.Comment | None = default(None, "A note for readers of the file; without effect.")


class TenantRewrite(Frozen):
    """Replacements in the A-ASSOCIATE-RQ that the upstream gets."""

    called_aet: f.Nullable[f.AeTitle] = default(None, "The called AE title that the upstream gets.")


class UserIdentityModel(Frozen):
    """User identity negotiation (PS3.7 annex D.3.3.7)."""

    mode: f.Word[Literal["off", "optional", "required"]] = default(
        "off", "off: forwarded unverified; optional: verified if present; required."
    )
    providers: list[f.Name] | None = default(None, "Names in identity_providers, asked in that order.")
    forward: f.Word[Literal["strip", "pass"]] = default("strip", "pass: forwarded to the upstream; strip: removed.")
    allow_plain: f.Boolean = default("false", "true: passcodes and tokens are accepted on plaintext listeners.")


class TenantModel(Frozen):
    """A tenant: senders, called AE titles and a PACS, selected by SNI or by matching."""

    server_names: list[f.ServerName] | None = default(
        None, "SNI names that select the tenant; *. stands for one label. Default: no name selects it."
    )
    networks: f.AnyOr[list[f.NetworkRange]] = default("any", "Source addresses and ranges of its senders.")
    tls: f.Nullable[TenantTlsModel] = default(
        None, "TLS settings of the tenant. A key that is left out has the value of the listener."
    )
    called_aets: f.AnyOr[list[f.AeTitle]] = mandatory("Called AE titles of the tenant, or any.")
    upstream: f.Name = mandatory("Name of the upstream.")
    routes: dict[f.AeTitle, f.Name] | None = default(
        None, "Further called AE titles, each with the name of its upstream."
    )
    observe_until: f.Nullable[f.Moment] = default(
        None,
        "A date. Until then requests that the policy would refuse are accepted, logged and counted as would_refuse. "
        "TLS, certificates and the separation of tenants are enforced all the same.",
    )
    uniform_rejects: f.Boolean = default(
        "false", "true: each permanent refusal is the same A-ASSOCIATE-RJ, whatever its reason."
    )
    aet_case: f.Word[Literal["exact", "fold"]] = default(
        "exact", "How AE titles are compared; fold: without regard to case."
    )
    accept_nul_padding: f.Boolean = default(
        "false", "true: AE titles padded with NUL are accepted, and forwarded padded with spaces."
    )
    max_associations: f.Nullable[f.Count] = default(
        None, "Associations of the tenant; null: only limits.connections applies."
    )
    idle: f.Nullable[f.DurationOrNever] = default(None, "Replaces timeouts.idle for this tenant.")
    rewrite: TenantRewrite = default({}, "Replacements in the A-ASSOCIATE-RQ that the upstream gets.")
    user_identity: UserIdentityModel = default({}, "User identity negotiation.")
    peers: list[PeerModel] = mandatory(
        "The allowlist. The first peer that matches decides; a request that none matches is refused. A pattern never "
        "matches an AE title that another peer names literally."
    )
