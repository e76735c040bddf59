"""Writes the configuration of a gateway in front of an Orthanc, as YAML with comments. Pure.

The text is made line by line, not dumped from a tree: comments stand above the lines that they explain. Values
of the Orthanc configuration pass through `yaml_text` and comments through `_Page.comment`: either may contain anything.
"""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from proxy.config.quoting import shown, yaml_text
from proxy.orthanc.model import DicomTls, Orthanc
from proxy.orthanc.peers import PeerEntry, has_instances, only_stores
from proxy.orthanc.syntaxes import GENERAL, accepted_for_storage, unknown_syntaxes
from proxy.orthanc.trust import CA_NAME, Bundle, Trust

_WIDTH = 120
_PLAINTEXT_PORT, _TLS_PORT = 11112, 2762  # dicom and dicom-tls (PS3.8 section 9.1.1)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Values that come from outside the Orthanc configuration. `certificate`, `key`: paths of the DicomTls* files."""

    source: str  # the imported file, for the first line
    bind: str  # address:port
    pacs: str  # host:port
    certificate: str = ""
    key: str = ""
    remarks: tuple[str, ...] = ()  # from reading the text


def default_bind(orthanc: Orthanc) -> str:
    """Return the address that the gateway listens on by default."""
    return f"0.0.0.0:{_TLS_PORT if orthanc.tls else _PLAINTEXT_PORT}"


def render(
    orthanc: Orthanc, peers: Sequence[PeerEntry], trust: Trust, bundle: Bundle, around: Surroundings
) -> tuple[str, list[str]]:
    """Return the text, and the remarks that an administrator must check. The text has them as comments too."""
    page = _Page()
    urgent = [*around.remarks, *_urgent(orthanc, peers)]
    page.comment(0, f"dicomgate in front of Orthanc, made by `dicomgate import` from {around.source}.")
    page.comment(0, "It decides on associations and operations as Orthanc does; comments name the differences.")
    page.comment(0, "Orthanc still checks by its own configuration, behind the gateway.")
    if urgent:
        page.comment(0, "Check this:")
        for text in urgent:
            page.comment(0, text, bullet=True)
    page.line(0, "version: 1")
    page.line()
    _render_listener(page, orthanc, trust, bundle, around)
    _render_tenant(page, orthanc, peers)
    _render_upstream(page, orthanc, around)
    _render_rest(page, orthanc)
    return page.text(), urgent


def _urgent(orthanc: Orthanc, peers: Sequence[PeerEntry]) -> list[str]:
    found = list[str]()
    if orthanc.in_database:
        found.append(
            "DicomModalitiesInDatabase is true: Orthanc keeps its modalities in the database and does not read "
            "DicomModalities, so none is imported. Copy the answer of /modalities?expand of its REST API to "
            "DicomModalities, set DicomModalitiesInDatabase to false, and import again."
        )
    found += [
        ": ".join(filter(None, (entry.comments[0], " ".join(entry.comments[1:])))) for entry in peers if not entry.aet
    ]
    found += [
        f"{key}: unknown to Orthanc, which ignores it; is {near} meant?" for key, near in orthanc.misspelt.items()
    ]
    found += [f"AcceptedTransferSyntaxes: {shown(text)} matches nothing." for text in unknown_syntaxes(orthanc)]
    return found


def _render_listener(page: "_Page", orthanc: Orthanc, trust: Trust, bundle: Bundle, around: Surroundings) -> None:
    page.line(0, "listeners:")
    if orthanc.tls is None:
        page.comment(1, "DicomTlsEnabled is false, so senders speak plain DICOM. With TLS, on port 2762:")
        page.comment(1, "tls: {certificates: [{chain: gate.pem, key: {file: gate.key}}]}")
        page.line(1, "dicom:")
        page.line(2, f"bind: [{yaml_text(around.bind)}]")
        page.line(2, "tenants: [orthanc]")
        page.line()
        return
    tls = orthanc.tls
    page.line(1, "dicom-tls:")
    page.line(2, f"bind: [{yaml_text(around.bind)}]")
    page.line(2, "tls:")
    for text in _profile_remarks(tls.minimum_version, tls.ciphers):
        page.comment(3, text)
    page.line(3, "profile: bcp195-rfc8996")
    page.line(3, "certificates:")
    page.line(4, f"- {{chain: {yaml_text(around.certificate)}, key: {{file: {yaml_text(around.key)}}}}}")
    _render_client_auth(page, tls, trust, bundle)
    page.line()


def _render_client_auth(page: "_Page", tls: DicomTls, trust: Trust, bundle: Bundle) -> None:
    page.line(3, "client_auth:")
    if not tls.certificate_required:
        page.comment(
            4, "DicomTlsRemoteCertificateRequired is false. Orthanc before 1.12.4 still verified a certificate that"
        )
        page.comment(4, "was sent. To do the same: mode optional, with the CAs of the devices under ca.")
        page.line(4, "mode: none")
        return
    for certificate in bundle.ignored:
        page.comment(
            4,
            f"Left out: {certificate.subject} is neither a CA nor self-signed; without its issuer it admits no sender, "
            "in Orthanc as here.",
        )
    page.line(4, "mode: required")
    if trust.ca_file:
        page.line(4, f"ca: {{{CA_NAME}: {yaml_text(trust.ca_file)}}}")


def _profile_remarks(minimum: int, ciphers: tuple[str, ...]) -> list[str]:
    found = list[str]()
    if minimum == 5:
        found.append("DicomTlsMinimumProtocolVersion 5: Orthanc accepts TLS 1.3 only; every profile accepts 1.2.")
    elif minimum == 0:
        found.append(
            "DicomTlsMinimumProtocolVersion 0 is the older BCP 195: Orthanc may accept TLS 1.0 and 1.1 with it, this "
            "profile accepts 1.2 and 1.3. A device with nothing newer needs a listener of its own, with profile "
            "legacy-bcp195 and networks."
        )
    elif minimum < 4:
        found.append(f"DicomTlsMinimumProtocolVersion {minimum}: versions before TLS 1.2 are not accepted here.")
    if ciphers:
        found.append("DicomTlsCiphersAccepted has no counterpart: the profile has the cipher suites of PS3.15.")
    return found


def _render_tenant(page: "_Page", orthanc: Orthanc, peers: Sequence[PeerEntry]) -> None:
    page.line(0, "tenants:")
    page.line(1, "orthanc:")
    if orthanc.check_called_aet:
        page.line(2, f"called_aets: [{yaml_text(orthanc.aet)}]")
    else:
        page.line(2, "called_aets: any  # DicomCheckCalledAet is false")
    if not orthanc.strict_aet:
        page.line(2, "aet_case: fold  # StrictAetComparison is false")
    page.line(2, "upstream: orthanc")
    for text in _peers_remarks(orthanc, peers):
        page.comment(2, text)
    page.line(2, "peers:")
    syntaxes = accepted_for_storage(orthanc)
    for entry in peers:
        for text in entry.comments:
            page.comment(3, text)
        if entry.aet:
            _render_peer(page, entry, syntaxes)
    page.line()


def _peers_remarks(orthanc: Orthanc, peers: Sequence[PeerEntry]) -> list[str]:
    found = ["The first match wins; all other senders are refused."]
    if not orthanc.unknown_sop_classes and any("store_standard" in entry.allow for entry in peers):
        found.append(
            "UnknownSopClassAccepted is false: store_standard allows the standard storage classes. store would also "
            "allow private ones."
        )
    if any("move" in entry.allow for entry in peers):
        found.append("C-MOVE: Orthanc sends to its own modalities only, so it decides on the destination.")
    if any(entry.cert and entry.cert.get("file") for entry in peers):
        found.append(
            "Certificates: Orthanc accepts any of DicomTlsTrustedCertificates with any title. Here a self-signed one "
            "belongs to the modality that it names (AE title, name or Host); one that names no modality belongs to "
            "each modality without one of its own."
        )
    if any(entry.aet and not entry.refuse and entry.source is None for entry in peers) and orthanc.tls is None:
        found.append("Without `from` every sender with the title is admitted, as by Orthanc; check warns of it (W203).")
    if (syntaxes := accepted_for_storage(orthanc)) is not None and not set(GENERAL) <= set(syntaxes):
        found.append(
            "transfer_syntaxes: Orthanc always accepts the uncompressed ones, but for C-STORE, where it refuses what "
            "AcceptedTransferSyntaxes leaves out. A peer that may only store has these alone; check warns if Implicit "
            "VR Little Endian is missing (W211)."
        )
    return found


def _render_peer(page: "_Page", entry: PeerEntry, syntaxes: tuple[str, ...] | None) -> None:
    page.line(3, f"- name: {yaml_text(entry.name)}")
    page.line(4, f"aet: {yaml_text(entry.aet)}")
    if entry.source is not None:
        page.list(4, "from", entry.source)
    if entry.cert:
        page.line(4, "cert:")
        for kind, values in entry.cert.items():
            page.list(5, kind, values)
    if entry.refuse:
        page.line(4, "action: refuse")
    else:
        page.list(4, "allow", entry.allow)
    if syntaxes is not None and has_instances(entry):
        page.list(4, "transfer_syntaxes", syntaxes if only_stores(entry) else dict.fromkeys((*GENERAL, *syntaxes)))
    if "move" in entry.allow:
        page.line(4, "move_destinations: any")


def _render_upstream(page: "_Page", orthanc: Orthanc, around: Surroundings) -> None:
    page.line(0, "upstreams:")
    page.comment(1, "From now on only the gateway may reach Orthanc: close its port to the network.")
    if orthanc.check_host:
        page.comment(
            1, "In Orthanc, set DicomCheckModalityHost to false: every association comes from the gateway's address."
        )
    if orthanc.tls is not None:
        page.comment(1, "In Orthanc, set DicomTlsEnabled to false, or add `tls` here.")
    page.line(1, f"orthanc: {{servers: [{{address: {yaml_text(around.pacs)}}}]}}")


def _render_rest(page: "_Page", orthanc: Orthanc) -> None:
    outgoing = sorted({key for modality in orthanc.modalities for key in modality.outgoing})
    if outgoing:
        page.line()
        page.comment(0, f"For Orthanc's own calls, which do not pass the gateway: {', '.join(outgoing)}.")
    if orthanc.others:
        page.line()
        page.comment(0, f"Without a meaning here, stays with Orthanc: {', '.join(orthanc.others)}.")


class _Page:
    """Lines of YAML. Comments are escaped and wrapped."""

    def __init__(self) -> None:
        self._lines = list[str]()

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"

    def line(self, depth: int = 0, text: str = "") -> None:
        self._lines.append("  " * depth + text if text else "")

    def comment(self, depth: int, text: str, *, bullet: bool = False) -> None:
        """Add one paragraph of comment."""
        indent = "  " * depth + "# "
        # Escaped to printable ASCII: a line break in a name would end the comment, and its rest would be YAML.
        escaped = "".join(c if " " <= c <= "~" else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
        self._lines += textwrap.wrap(
            escaped,
            _WIDTH,
            initial_indent=indent + ("- " if bullet else ""),
            subsequent_indent=indent + ("  " if bullet else ""),
            break_long_words=False,
            break_on_hyphens=False,
        )

    def list(self, depth: int, key: str, values: Iterable[str]) -> None:
        """Add a list in brackets, on several lines if it is long."""
        indent = "  " * depth
        items = [yaml_text(value) for value in values]
        line = f"{indent}{key}: ["
        for index, item in enumerate(items):
            piece = item + ("]" if index == len(items) - 1 else ",")
            if len(line) + len(piece) + 1 > _WIDTH and not line.endswith("["):
                self._lines.append(line)
                line = f"{indent}  {piece}"
            else:
                line += piece if line.endswith("[") else f" {piece}"
        self._lines.append(line)
