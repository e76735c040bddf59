"""Each kind of wrong value: the whole finding, as an administrator reads it."""
# ruff: noqa: E501 - a finding is one line, however long

from pathlib import Path

import pytest

from proxy.config.load import load
from tests.support.configs import PLAIN, findings, load_text, write


def test_the_plain_configuration_is_good(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, PLAIN)
    assert loaded.findings == []
    assert loaded.config is not None
    assert loaded.files == [str(tmp_path / "config.yaml")]


def changed(old: str, new: str) -> str:
    assert PLAIN.count(old) == 1
    return PLAIN.replace(old, new)


PEER = "      - {aet: CT1, allow: [all]}\n"
UPSTREAM = '{servers: [{address: "10.20.0.5:104"}]}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (changed("version: 1", "version: 2"), "E110 config.yaml:1:10: version: 2 is not 1, the only supported value"),
        (changed("version: 1\n", ""), "E112 config.yaml:1:1: version: is missing"),
        (changed("upstreams:\n  pacs:", "upstream:\n  pacs:"),
         "E111 config.yaml:13:1: upstream: unknown key; did you mean upstreams?"),
        (changed("allow:", "alow:"), "E111 config.yaml:12:20: tenants.hospital.peers.0.alow: unknown key; did you mean allow?"),
        (changed("networks: [127", "network: [127"), "E111 config.yaml:5:5: listeners.plain.network: unknown key; did you mean networks?"),
        (changed("CT1, ", "CT1, form: any, "), "E111 config.yaml:12:20: tenants.hospital.peers.0.form: unknown key; did you mean from?"),
        (changed("CT1, ", "CT1, cert: {zzz: 1}, "),
         "E111 config.yaml:12:27: tenants.hospital.peers.0.cert.zzz: unknown key; expected one of file, san_dns, san_uri, "
         "subject_cn, sha256, spki_sha256, ca"),
        # a key of another place
        (changed("    tenants:", "    client_auth: {mode: none}\n    tenants:"),
         "E111 config.yaml:6:5: listeners.plain.client_auth: unknown key; it belongs under listeners.*.tls"),
        (changed("    called_aets:", "    servers: []\n    called_aets:"),
         "E111 config.yaml:9:5: tenants.hospital.servers: unknown key; it belongs under upstreams.*"),
        (changed("    called_aets:", "    allow: [all]\n    called_aets:"),
         "E111 config.yaml:9:5: tenants.hospital.allow: unknown key; it belongs under tenants.*.peers.*"),
        (changed("    called_aets:", "    upstreams: pacs\n    called_aets:"),
         "E111 config.yaml:9:5: tenants.hospital.upstreams: unknown key; did you mean upstream?"),
        (changed("CT1, ", "CT1, workers: 2, "),
         "E111 config.yaml:12:20: tenants.hospital.peers.0.workers: unknown key; it belongs at the top level"),
        (PLAIN + "server_names: [a.example]\n", "E111 config.yaml:15:1: server_names: unknown key; it belongs under tenants.*"),
        (PLAIN + "tls: {profile: x}\n",
         "E111 config.yaml:15:1: tls: unknown key; it belongs under listeners.* or under tenants.* or under upstreams.*"),
        (PLAIN + "<<: {a: b}\n", "E111 config.yaml:15:1: <<: unknown key; expected one of version, include, workers, control, log, "
         "access_log, admin, reload, timeouts, limits, listeners, tenant_defaults, tenants, identity_providers, upstreams"),
        (changed(", allow: [all]", ""), "E112 config.yaml:12:9: tenants.hospital.peers.0: allow is missing: "
         "e.g. allow: [modality], or action: refuse"),
        (changed("    called_aets: [MAINPACS]\n", ""), "E112 config.yaml:8:3: tenants.hospital.called_aets: is missing"),
        (changed("allow: [all]", "allow: all"), "E110 config.yaml:12:27: tenants.hospital.peers.0.allow: must be a list: write [all]"),
        (changed("allow: [all]", "allow: [al]"),
         "E110 config.yaml:12:28: tenants.hospital.peers.0.allow.0: 'al' is not one of echo, store, store_standard, find, worklist, move, "
         "get, storage_commitment, mpps, ups, print, other, all, modality, viewer; did you mean all?"),
        (changed("[all]", "[stor]"),
         "E110 config.yaml:12:28: tenants.hospital.peers.0.allow.0: 'stor' is not one of echo, store, store_standard, find, worklist, move, "
         "get, storage_commitment, mpps, ups, print, other, all, modality, viewer; did you mean store?"),
        (changed("[all]", "[all], sop_classes: [CTImageStorage, CtImageStorag]"),
         "E110 config.yaml:12:64: tenants.hospital.peers.0.sop_classes.1: CtImageStorag is not the keyword of a SOP class; did you mean CTImageStorage?"),
        (changed("[all]", "[all], sop_classes: [Zzz]"),
         "E110 config.yaml:12:48: tenants.hospital.peers.0.sop_classes.0: Zzz is not the keyword of a SOP class: write its UID, or its keyword in PS3.6"),
        (changed("[all]", "[all], sop_classes: [ImplicitVRLittleEndian]"),
         "E110 config.yaml:12:48: tenants.hospital.peers.0.sop_classes.0: ImplicitVRLittleEndian is a transfer syntax, not a SOP class"),
        (changed("[all]", "[all], sop_classes: [1.2.840.10008.4.2]"),
         "E110 config.yaml:12:48: tenants.hospital.peers.0.sop_classes.0: 1.2.840.10008.4.2 is not a SOP class"),
        (changed("[all]", "[all], sop_classes: [1.2.x]"),
         "E110 config.yaml:12:48: tenants.hospital.peers.0.sop_classes.0: '1.2.x' is neither a UID nor a keyword of PS3.6"),
        (changed("[all]", "[all], transfer_syntaxes: [ExplicitVRLittleEndia]"),
         "E110 config.yaml:12:54: tenants.hospital.peers.0.transfer_syntaxes.0: ExplicitVRLittleEndia is not the keyword of a transfer syntax; did you mean ExplicitVRLittleEndian?"),
        (changed("[all]", "[all], transfer_syntaxes: [1.2.840.10008.1.1]"),
         "E110 config.yaml:12:54: tenants.hospital.peers.0.transfer_syntaxes.0: 1.2.840.10008.1.1 is a SOP class, not a transfer syntax"),
        (changed("{aet: CT1, allow: [all]}", "CT1"), "E110 config.yaml:12:9: tenants.hospital.peers.0: must be a mapping of "
         "name, aet, from, cert, user, action, allow, sop_classes, transfer_syntaxes, move_destinations, max_associations, rewrite, comment"),
        (changed("[127.0.0.1]", "{a: b}"), "E110 config.yaml:5:15: listeners.plain.networks: must be a list"),
        (changed("upstream: pacs", "upstream: [pacs]"), "E110 config.yaml:10:15: tenants.hospital.upstream: must be a single value, not a list"),
        (changed("upstream: pacs", "upstream:"), "E110 config.yaml:10:14: tenants.hospital.upstream: is empty"),
        (changed("    peers:", "    routes: {'${RIS}': pacs}\n    peers:"), "E109 config.yaml:11:14: '${RIS}': ${...} is expanded in values only, not in keys"),
        # an empty value is not null: the lines below may have been commented out
        (changed("    tenants:", "    tls:\n    tenants:"), "E110 config.yaml:6:9: listeners.plain.tls: must be a mapping of "
         "profile, certificates, client_auth"),
        (changed("upstream: pacs", "upstream: pacs\n    observe_until:"), "E110 config.yaml:11:19: tenants.hospital.observe_until: is empty"),
        (changed("  hospital:\n", "  'a b':\n"),
         "E110 config.yaml:8:3: tenants.a b: 'a b': a name has 1 to 63 letters, digits, `.`, `_` or `-` and begins with a letter or digit"),
        # AE titles
        (changed("CT1", "ABCDEFGHIJKLMNOPQ"), "E110 config.yaml:12:15: tenants.hospital.peers.0.aet: longer than 16 characters"),
        (changed("CT1", "[CT1, 'A\\B']"), "E110 config.yaml:12:21: tenants.hospital.peers.0.aet.1: '\\\\' is not allowed in an AE title"),
        (changed("CT1", "''"), "E110 config.yaml:12:15: tenants.hospital.peers.0.aet: is empty"),
        (changed("CT1", "'   '"), "E110 config.yaml:12:15: tenants.hospital.peers.0.aet: only spaces, which is no AE title"),
        (changed("CT1", "' CT1'"),
         "E110 config.yaml:12:15: tenants.hospital.peers.0.aet: ' CT1': spaces at the ends of an AE title are not significant, leave them out"),
        (changed("CT1", '"A\\tB"'), "E110 config.yaml:12:15: tenants.hospital.peers.0.aet: '\\t' is not allowed in an AE title"),
        (changed("CT1", "CTé"), "E110 config.yaml:12:15: tenants.hospital.peers.0.aet: '\\xe9' is not allowed in an AE title"),
        (changed("MAINPACS", "MAIN*"),
         "E110 config.yaml:9:19: tenants.hospital.called_aets.0: 'MAIN*': a pattern is not accepted here, write the title"),
        # networks (row 85, docs/robustness.md)
        (changed("[127.0.0.1]", "[010.0.0.1]"),
         "E110 config.yaml:5:16: listeners.plain.networks.0: '010.0.0.1' is not an IP address or range: leave out leading zeros, "
         "which some programs read as octal"),
        (changed("[127.0.0.1]", "[10.0.0.1/33]"), "E110 config.yaml:5:16: listeners.plain.networks.0: '10.0.0.1/33': /33 is longer than the address"),
        (changed("[127.0.0.1]", "[10.0.0.1/8]"),
         "E110 config.yaml:5:16: listeners.plain.networks.0: 10.0.0.1/8 has bits set after the /8: write 10.0.0.0/8, or 10.0.0.1 for the one address"),
        (changed("[127.0.0.1]", "['']"), "E110 config.yaml:5:16: listeners.plain.networks.0: is empty"),
        (changed("[127.0.0.1]", "[10.0.0.0/255.0.0.0]"), "E110 config.yaml:5:16: listeners.plain.networks.0: '10.0.0.0/255.0.0.0': write the range like 10.20.0.0/16"),
        (changed("[127.0.0.1]", "[fe80::1%eth0]"), "E110 config.yaml:5:16: listeners.plain.networks.0: 'fe80::1%eth0': leave the zone out"),
        (changed("[127.0.0.1]", "[pacs]"), "E110 config.yaml:5:16: listeners.plain.networks.0: 'pacs' is not an IP address or range"),
        (changed("[127.0.0.1]", "127.0.0.1"), "E110 config.yaml:5:15: listeners.plain.networks: must be a list: write [127.0.0.1]"),
        # addresses
        (changed("10.20.0.5:104", "10.20.0.5:0"), "E110 config.yaml:14:30: upstreams.pacs.servers.0.address: port 0 is not in 1..65535"),
        (changed("10.20.0.5:104", "10.20.0.5:65536"), "E110 config.yaml:14:30: upstreams.pacs.servers.0.address: port 65536 is not in 1..65535"),
        (changed("10.20.0.5:104", "10.20.0.5:x"), "E110 config.yaml:14:30: upstreams.pacs.servers.0.address: port 'x' is not in 1..65535"),
        (changed("10.20.0.5:104", "10.20.0.5"), "E110 config.yaml:14:30: upstreams.pacs.servers.0.address: '10.20.0.5': write host:port"),
        (changed("10.20.0.5:104", "::1:104"),
         "E110 config.yaml:14:30: upstreams.pacs.servers.0.address: '::1:104': write an IPv6 address in brackets, like [2001:db8::5]:104"),
        (changed("10.20.0.5:104", "10.20.0.500:104"),
         "E110 config.yaml:14:30: upstreams.pacs.servers.0.address: '10.20.0.500:104': write a host and a port, like 10.20.0.5:104 or pacs.example.org:104"),
        (changed("127.0.0.1:11112", "localhost:11112"),
         "E110 config.yaml:4:12: listeners.plain.bind.0: 'localhost:11112': write an address and a port, like 0.0.0.0:2762 or [::]:2762"),
        (changed("127.0.0.1:11112", ":::2762"),
         "E110 config.yaml:4:12: listeners.plain.bind.0: ':::2762': write an IPv6 address in brackets, like [::]:2762"),
        # durations, sizes, numbers, switches, dates
        (PLAIN + "timeouts: {artim: 0s}\n", "E110 config.yaml:15:19: timeouts.artim: 0s is too short: at least 1ms"),
        (PLAIN + "timeouts: {artim: 10}\n", "E110 config.yaml:15:19: timeouts.artim: '10' is not a duration: write it like 30s, 10m, 1h or 250ms"),
        (PLAIN + "timeouts: {artim: never}\n", "E110 config.yaml:15:19: timeouts.artim: 'never' is not a duration: write it like 30s, 10m, 1h or 250ms"),
        (PLAIN + "timeouts: {idle: forever}\n",
         "E110 config.yaml:15:18: timeouts.idle: 'forever' is not a duration: write it like 30s, 10m, 1h, 250ms or never"),
        (PLAIN + "limits: {associate_rq: 73}\n", "E110 config.yaml:15:24: limits.associate_rq: 73 is not in 74..8454667 bytes"),
        (PLAIN + "limits: {associate_rq: 9MiB}\n", "E110 config.yaml:15:24: limits.associate_rq: 9MiB is not in 74..8454667 bytes"),
        (PLAIN + "limits: {associate_rq: 1MB}\n",
         "E110 config.yaml:15:24: limits.associate_rq: '1MB' is not a size: write it like 256KiB, 1MiB or 8454667"),
        (PLAIN + "limits: {connections: 0}\n", "E110 config.yaml:15:23: limits.connections: 0 is not in 1..1000000"),
        (PLAIN + "limits: {connections: 010}\n", "E110 config.yaml:15:23: limits.connections: '010' is not a whole number"),
        (PLAIN + "limits: {presentation_contexts: 129}\n", "E110 config.yaml:15:33: limits.presentation_contexts: 129 is not in 1..128"),
        (changed("    upstream:", "    uniform_rejects: yes\n    upstream:"),
         "E110 config.yaml:10:22: tenants.hospital.uniform_rejects: 'yes': write true or false"),
        (changed("    upstream:", "    observe_until: soon\n    upstream:"),
         "E110 config.yaml:10:20: tenants.hospital.observe_until: 'soon' is not a date: write it like 2026-10-31 or 2026-10-31T18:00:00Z"),
        (changed("    upstream:", "    aet_case: Fold\n    upstream:"), "E110 config.yaml:10:15: tenants.hospital.aet_case: 'Fold' is not one of exact, fold; did you mean fold?"),
        (PLAIN + "log: {level: loud}\n", "E110 config.yaml:15:14: log.level: 'loud' is not one of debug, info, warning, error"),
        (PLAIN + "log: loud\n", "E110 config.yaml:15:6: log: must be a mapping of level, format"),
        # server names, fingerprints, pins
        (changed("    upstream:", "    server_names: [10.0.0.1]\n    upstream:"),
         "E110 config.yaml:10:20: tenants.hospital.server_names.0: '10.0.0.1': clients never send an address as server name (RFC 6066)"),
        (changed("    upstream:", "    server_names: ['a.*.b']\n    upstream:"),
         "E110 config.yaml:10:20: tenants.hospital.server_names.0: 'a.*.b' is not a host name; a `*` may stand only for the whole first label"),
        (changed("CT1, ", "CT1, cert: {sha256: ['3f:0a']}, "),
         "E110 config.yaml:12:36: tenants.hospital.peers.0.cert.sha256.0: '3f:0a' is not a SHA-256 fingerprint: 64 hex digits, colons allowed"),
        (changed("CT1, ", "CT1, cert: {spki_sha256: ['c2hvcnQ=']}, "),
         "E110 config.yaml:12:41: tenants.hospital.peers.0.cert.spki_sha256.0: 'c2hvcnQ=' is not the base64 of a SHA-256 (44 characters)"),
        # identity providers, secrets
        (PLAIN + "identity_providers: {a: {type: nis}}\n",
         "E110 config.yaml:15:32: identity_providers.a.type: 'nis' is not one of htpasswd, jwt, http, ldap, kerberos"),
        (PLAIN + "identity_providers: {a: {file: x}}\n", "E112 config.yaml:15:25: identity_providers.a.type: is missing"),
        (PLAIN + "identity_providers: {a: {type: http, url: 'http://x/', tokn: x}}\n",
         "E111 config.yaml:15:56: identity_providers.a.tokn: unknown key; did you mean token?"),
        (PLAIN + "identity_providers: {a: {type: http, url: 'http://x/', token: x}}\n",
         "E110 config.yaml:15:63: identity_providers.a.token: write a secret as {file: ...}, {env: NAME} or {credential: name}"),
        (PLAIN + "identity_providers: {a: {type: http, url: 'http://x/', token: {env: A, file: b}}}\n",
         "E110 config.yaml:15:63: identity_providers.a.token: give exactly one of file, env and credential"),
        (PLAIN + "identity_providers: {a: {type: http, url: 'ftp://x/'}}\n",
         "E110 config.yaml:15:43: identity_providers.a.url: 'ftp://x/': write a URL that begins with http:// or https://"),
        # upstreams
        (changed(UPSTREAM, '{servers: [{address: "a:1"}], tls: {certificate: a.pem}}'),
         "E110 config.yaml:14:44: upstreams.pacs.tls: give certificate and key together"),
        (changed(UPSTREAM, '{servers: [{address: "a:1"}], health_check: {type: echo}}'),
         "E110 config.yaml:14:53: upstreams.pacs.health_check: type echo needs called_aet"),
    ],
)  # fmt: skip
def test_every_mistake_reads_like_a_compilers(tmp_path: Path, text: str, expected: str) -> None:
    loaded = load_text(tmp_path, text)
    assert loaded.config is None
    told = [f"{finding.code} {finding}".replace(f"{tmp_path}/", "") for finding in loaded.findings]
    assert expected in told


def test_a_peer_that_is_refused_needs_no_allow(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, changed("allow: [all]", "action: refuse"))
    assert loaded.config is not None
    (peer,) = loaded.config.tenants["hospital"].peers
    assert peer.refuse


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_text(tmp_path: Path) -> None:
    text = """\
        version: 1
        listeners:
          plain: {bind: ["127.0.0.1:0"], tenants: []}
        tenants:
          hospital: {called_aets: [MAINPACS], upstream: pacs, peers: [{aet: ABCDEFGHIJKLMNOPQ, allow: [all], colour: red}]}
        upstreams:
          pacs: {servers: [{address: "10.20.0.5:104"}], pacs: x}
        timeouts:
          artim: ${ARTIM}
        """
    assert findings(tmp_path, text) == [
        "E110 config.yaml:3:18: listeners.plain.bind.0: port 0 is not in 1..65535",
        "E106 config.yaml:3:43: the list is empty: leave it out, or write `any` where it is allowed",
        "E110 config.yaml:5:69: tenants.hospital.peers.0.aet: longer than 16 characters",
        "E111 config.yaml:5:102: tenants.hospital.peers.0.colour: unknown key; expected one of name, aet, from, cert, user, "
        "action, allow, sop_classes, transfer_syntaxes, move_destinations, max_associations, rewrite, comment",
        "E111 config.yaml:7:49: upstreams.pacs.pacs: unknown key; expected one of servers, balance, tls, send_proxy_protocol, "
        "source_address, health_check",
        "E109 config.yaml:9:10: environment variable ARTIM is not set; ${ARTIM:-...} gives it a default",
        "E110 config.yaml:9:10: timeouts.artim: is empty",
    ]


def test_a_finding_has_a_form_for_machines(tmp_path: Path) -> None:
    path = write(tmp_path, PLAIN.replace("CT1", "ABCDEFGHIJKLMNOPQ"))
    assert [finding.to_dict() for finding in load(path, environ={}).findings] == [
        {
            "code": "E110",
            "severity": "error",
            "where": f"{path}:12:15",
            "path": "tenants.hospital.peers.0.aet",
            "message": "longer than 16 characters",
        }
    ]
