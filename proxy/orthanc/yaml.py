"""The configuration of the gateway that stands in front of an Orthanc, as YAML with comments. Pure."""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from proxy.config.quoting import shown, yaml_text
from proxy.orthanc.model import Orthanc
from proxy.orthanc.peers import PeerEntry, has_instances, only_stores
from proxy.orthanc.syntaxes import GENERAL, accepted_for_storage, unknown_syntaxes
from proxy.orthanc.trust import CA_NAME, Bundle, Trust

_WIDTH = 120
_PLAINTEXT_PORT, _TLS_PORT = 11112, 2762  # dicom and dicom-tls (PS3.8 section 9.1.1)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the Orthanc configuration does not say. `certificate` and `key`: DicomTls*, resolved to paths."""

    source: str  # what is imported, for the first line
    bind: str  # address:port
    pacs: str  # host:port
    certificate: str = ""
    key: str = ""
    remarks: tuple[str, ...] = ()  # what reading it brought up


def default_bind(orthanc: Orthanc) -> str:
    """Where the gateway listens unless it is told."""
    return f"0.0.0.0:{_TLS_PORT if orthanc.tls else _PLAINTEXT_PORT}"


def render(
    orthanc: Orthanc, peers: Sequence[PeerEntry], trust: Trust, bundle: Bundle, around: Surroundings
) -> tuple[str, list[str]]:
    """The text, and what in it somebody must look at (also said there, in a comment)."""
    page = _Page()
    urgent = [*around.remarks, *_urgent(orthanc, peers)]
    page.comment(0, f"dicomgate in front of Orthanc, made by `dicomgate import` from {around.source}.")
    page.comment(0, "It decides as Orthanc does on who may associate and what for; comments say where it does not.")
    page.comment(0, "Orthanc goes on to check by its own configuration, behind the gateway.")
    if urgent:
        page.comment(0, "Look at this:")
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
            "DicomModalities, so none is imported. Put what /modalities?expand of its REST API gives into "
            "DicomModalities, set DicomModalitiesInDatabase to false, and import again."
        )
    found += [
        ": ".join(filter(None, (entry.comments[0], " ".join(entry.comments[1:])))) for entry in peers if not entry.aet
    ]
    found += [
        f"{key}: Orthanc knows no such key and passes over it; is {near} meant?"
        for key, near in orthanc.misspelt.items()
    ]
    found += [f"AcceptedTransferSyntaxes: nothing is called {shown(text)}." for text in unknown_syntaxes(orthanc)]
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
    page.line(3, "client_auth:")
    if not tls.certificate_required:
        page.comment(
            4, "DicomTlsRemoteCertificateRequired is false. Orthanc before 1.12.4 looked at a certificate that"
        )
        page.comment(4, "was sent all the same: mode optional, with the CAs of the devices under ca.")
        page.line(4, "mode: none")
        page.line()
        return
    for certificate in bundle.ignored:
        page.comment(
            4,
            f"Left out: {certificate.subject} is neither a CA nor self-signed; alone in the file it opens nothing, "
            "in Orthanc as here.",
        )
    page.line(4, "mode: required")
    if trust.ca_file:
        page.line(4, f"ca: {{{CA_NAME}: {yaml_text(trust.ca_file)}}}")
    page.line()


def _profile_remarks(minimum: int, ciphers: tuple[str, ...]) -> list[str]:
    found = list[str]()
    if minimum == 5:
        found.append("DicomTlsMinimumProtocolVersion 5: Orthanc takes TLS 1.3 alone; no profile does, here 1.2 passes.")
    elif minimum == 0:
        found.append(
            "DicomTlsMinimumProtocolVersion 0 is the older BCP 195: with it Orthanc may take TLS 1.0 and 1.1, this "
            "profile takes 1.2 and 1.3. For a device that has no more: a listener of its own with profile "
            "legacy-bcp195 and networks."
        )
    elif minimum < 4:
        found.append(f"DicomTlsMinimumProtocolVersion {minimum}: versions before TLS 1.2 are not taken here.")
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
    found = ["The first that matches wins; who is not listed is refused."]
    if not orthanc.unknown_sop_classes and any("store_standard" in entry.allow for entry in peers):
        found.append(
            "UnknownSopClassAccepted is false: store_standard, the storage classes of the standard. store would let "
            "private ones pass too."
        )
    if any("move" in entry.allow for entry in peers):
        found.append("C-MOVE: Orthanc sends to its own modalities alone, so it decides on the destination.")
    if any(entry.cert and entry.cert.get("file") for entry in peers):
        found.append(
            "Certificates: to Orthanc any of DicomTlsTrustedCertificates may come with any title. Here a self-signed "
            "one belongs to the modality that it names (its AE title, name or Host); one that names none belongs to "
            "each modality that has none of its own."
        )
    if any(entry.aet and not entry.refuse and entry.source is None for entry in peers) and orthanc.tls is None:
        found.append("Without `from` anybody who says the title is let in, as Orthanc does; check warns of it (W203).")
    if (syntaxes := accepted_for_storage(orthanc)) is not None and not set(GENERAL) <= set(syntaxes):
        found.append(
            "transfer_syntaxes: Orthanc takes the uncompressed ones for all but C-STORE in any case; for C-STORE it "
            "refuses itself what AcceptedTransferSyntaxes leaves out. Who may only store has no more than these; "
            "check warns if Implicit VR Little Endian is missing (W211)."
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
    page.comment(1, "Orthanc, which from now on must be reached by the gateway alone: close its port to the network.")
    if orthanc.check_host:
        page.comment(
            1, "There set DicomCheckModalityHost to false: every association comes from the gateway's address."
        )
    if orthanc.tls is not None:
        page.comment(1, "There set DicomTlsEnabled to false, or add `tls` here.")
    page.line(1, f"orthanc: {{servers: [{{address: {yaml_text(around.pacs)}}}]}}")


def _render_rest(page: "_Page", orthanc: Orthanc) -> None:
    outgoing = sorted({key for modality in orthanc.modalities for key in modality.outgoing})
    if outgoing:
        page.line()
        page.comment(0, f"How Orthanc calls its modalities does not pass the gateway: {', '.join(outgoing)}.")
    if orthanc.others:
        page.line()
        page.comment(0, f"Says nothing of who may associate, and stays with Orthanc: {', '.join(orthanc.others)}.")


class _Page:
    """Lines of YAML. What goes into a comment may come from anywhere: it is escaped and wrapped."""

    def __init__(self) -> None:
        self._lines = list[str]()

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"

    def line(self, depth: int = 0, text: str = "") -> None:
        self._lines.append("  " * depth + text if text else "")

    def comment(self, depth: int, text: str, *, bullet: bool = False) -> None:
        """One paragraph."""
        indent = "  " * depth + "# "
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
        """A list in brackets, over several lines where it is long."""
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
