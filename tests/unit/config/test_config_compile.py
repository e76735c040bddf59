"""The loaded values: defaults, scalars, inheritance of `tls`, CAs of tenants, positions for `explain`."""
# ruff: noqa: E501 - a finding is one line, however long

import dataclasses
import datetime
import ipaddress
import math
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.config import files, models
from proxy.config.load import ConfigNotFound, find_config, load
from proxy.config.values import Config, Listener, Log, ProxyProtocol, TlsSettings
from proxy.policy import ClientAuthMode
from tests.support import certs, defaults
from tests.support.configs import PLAIN, TLS, load_text, write, write_pair


def good(folder: Path, text: str) -> Config:
    loaded = load_text(folder, text)
    assert loaded.config is not None, [str(finding) for finding in loaded.findings]
    return loaded.config


def test_a_key_that_is_left_out_has_its_default(tmp_path: Path) -> None:
    config = good(tmp_path, PLAIN)
    assert dataclasses.asdict(config.timeouts) == models.TimeoutsModel().model_dump()
    assert dataclasses.asdict(config.limits) == models.LimitsModel().model_dump()
    assert config.log == Log("info", None, "-")
    assert (config.admin, config.workers) == (("127.0.0.1", 9280), None)
    tenant = config.tenants["hospital"]
    peer = tenant.peers[0]
    assert (peer.source, peer.cert, peer.refuse, peer.move_destinations) == (None, None, False, ("self",))
    assert (tenant.networks, tenant.called_aets, tenant.idle) == (None, frozenset({"MAINPACS"}), None)


def test_every_built_key_arrives(tmp_path: Path) -> None:
    text = """\
        version: 1
        workers: 1
        control: null
        log: {level: debug, format: console}
        access_log: {path: /var/log/dicomgate.json}
        admin: ~
        reload: {watch: off}
        timeouts: {idle: never, artim: 250ms, drain: 0s, drain_delay: 1h}
        limits: {connections: 7, associate_rq: 8454667, presentation_contexts: 1}
        listeners:
          plain:
            bind: ["127.0.0.1:11112", "[::1]:11112"]
            networks: [10.20.0.0/16, "2001:db8::/32"]
            tenants: [hospital]
            default_tenant: hospital
            unknown_sni: match
            without_sni: reject
            proxy_protocol: {version: v2, trusted: [10.20.0.1, "2001:db8::/64"]}
        tenants:
          hospital:
            networks: [10.20.1.11, "::ffff:10.20.1.12"]
            called_aets: any
            upstream: pacs
            routes: {0123: ris}
            observe_until: 2026-10-31
            uniform_rejects: true
            aet_case: fold
            accept_nul_padding: true
            max_associations: 40
            idle: 1m
            peers:
              - {aet: [0123, ON, 22], name: some, action: refuse, allow: [all], from: any, max_associations: 2, comment: "x: y"}
        upstreams:
          pacs:
            servers: [{address: "PACS.example.org:104"}]
            send_proxy_protocol: v1
            source_address: "::ffff:127.0.0.1"
          ris: {servers: [{address: "[2001:db8::5]:104"}]}
        """
    config = good(tmp_path, text)
    assert config.timeouts == defaults.timeouts(idle=math.inf, artim=0.25, drain=0.0, drain_delay=3600.0)
    assert config.limits == defaults.limits(connections=7, associate_rq=8_454_667, presentation_contexts=1)
    assert config.log == Log("debug", "console", "/var/log/dicomgate.json")
    assert (config.admin, config.workers) == (None, 1)
    listener = config.listeners[0]
    assert listener.bind == (("127.0.0.1", 11112), ("::1", 11112))
    policy = listener.policy
    assert (policy.reject_without_sni, policy.match_unknown_sni, policy.tls) == (True, True, False)
    assert (policy.default_tenant, policy.max_presentation_contexts) == ("hospital", 1)
    assert policy.networks == (ipaddress.ip_network("10.20.0.0/16"), ipaddress.ip_network("2001:db8::/32"))
    tenant = config.tenants["hospital"]
    assert tenant.networks == (ipaddress.ip_network("10.20.1.11/32"), ipaddress.ip_network("::ffff:10.20.1.12/128"))
    assert (tenant.called_aets, dict(tenant.routes)) == (None, {"0123": "ris"})
    assert tenant.observe_until == datetime.datetime(2026, 10, 31, tzinfo=datetime.UTC).timestamp()
    assert (tenant.uniform_rejects, tenant.fold_case, tenant.accept_nul_padding) == (True, True, True)
    assert (tenant.max_associations, tenant.idle) == (40, 60.0)
    peer = tenant.peers[0]
    assert (peer.name, peer.aet, peer.refuse, peer.max_associations, peer.comment) == (
        "some", ("0123", "ON", "22"), True, 2, "x: y"
    )  # fmt: skip
    assert {name: (each.servers[0].host, each.servers[0].port) for name, each in config.upstreams.items()} == {
        "pacs": ("pacs.example.org", 104),
        "ris": ("2001:db8::5", 104),
    }
    trusted = ipaddress.ip_network("10.20.0.1/32"), ipaddress.ip_network("2001:db8::/64")
    assert listener.proxy_protocol == ProxyProtocol(frozenset({2}), trusted)
    pacs, ris = config.upstreams.values()
    assert (pacs.send_proxy_protocol, pacs.source_address) == (1, "127.0.0.1")
    assert (ris.send_proxy_protocol, ris.source_address) == (None, None)


def test_everything_that_explain_names_has_its_line(tmp_path: Path) -> None:
    config = good(tmp_path, PLAIN)
    tenant, listener = config.tenants["hospital"], config.listeners[0]
    file = tmp_path / "config.yaml"
    assert tenant.where == {
        "": f"{file}:8", "called_aets": f"{file}:9", "upstream": f"{file}:10", "peers": f"{file}:11"
    }  # fmt: skip
    assert tenant.peers[0].where == f"{file}:12"
    assert (listener.where, listener.policy.where["networks"]) == (f"{file}:3", f"{file}:5")
    assert config.upstreams["pacs"].where == f"{file}:14"


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    """A folder with certificates for two tenants and their listener."""
    root = certs.ca("Server CA")
    for name in ("default", "a", "b"):
        dns = [f"{name}.example.org"]
        write_pair(tmp_path, certs.leaf(name, root, eku=(certs.SERVER,), dns=dns, slot=name), name)
    for name in ("A", "B", "L"):
        issued = certs.ca(f"Devices {name}")
        (tmp_path / f"ca-{name}.pem").write_bytes(issued.pem)
        (tmp_path / f"crl-{name}.pem").write_bytes(certs.crl(issued))
    (tmp_path / "ct1.pem").write_bytes(certs.self_signed("CT1").pem)
    return tmp_path


TENANTS = """\
version: 1
listeners:
  tls:
    bind: ["127.0.0.1:2762"]
    tls:
      profile: bcp195-extended
      certificates: [{chain: default.pem, key: {file: default.key}}]
      client_auth: LISTENER
tenants:
  a:
    server_names: [a.example.org]
    called_aets: [A]
    upstream: pacs
    tls: {TENANT_A}
    peers: [{aet: CT1, cert: {file: [ct1.pem]}, allow: [all]}]
  b:
    called_aets: [B]
    upstream: pacs
    tls: {TENANT_B}
    peers: [{aet: CT1, from: [10.0.0.1], allow: [all]}]
upstreams:
  pacs: {servers: [{address: "10.20.0.5:104"}]}
"""


def tenants(folder: Path, listener: str, a: str, b: str = "client_auth: {mode: none}") -> Listener:
    text = TENANTS.replace("LISTENER", listener).replace("TENANT_A", a).replace("TENANT_B", b)
    return good(folder, text).listeners[0]


def own(listener: Listener) -> TlsSettings:
    assert listener.tls is not None
    return listener.tls


def names(settings: TlsSettings) -> dict[str, str]:
    return {name: Path(file.path).name for name, file in settings.client_auth.ca.items()}


def test_a_tenant_inherits_tls_key_by_key(pki: Path) -> None:
    listener = tenants(pki, "{mode: required, ca: ca-L.pem, crl: crl-L.pem}", "client_auth: {mode: optional}")
    tls = listener.tenant_tls["a"]
    assert (tls.profile, tls.client_auth.mode, names(tls)) == ("bcp195-extended", "optional", {"default": "ca-L.pem"})
    assert tls.certificates == own(listener).certificates
    assert tls.client_auth.crl == own(listener).client_auth.crl
    assert [Path(file.path).name for file in tls.client_auth.pinned] == ["ct1.pem"]
    assert set(listener.tenant_tls) == {"a"}  # b has no server names

    listener = tenants(pki, "{mode: required, ca: ca-L.pem}", "certificates: [{chain: a.pem, key: {file: a.key}}]")
    tls = listener.tenant_tls["a"]
    assert (tls.profile, tls.client_auth.mode) == ("bcp195-extended", "required")
    assert [Path(pair.chain.path).name for pair in tls.certificates] == ["a.pem"]
    assert tls.client_auth.ca == own(listener).client_auth.ca


def test_a_key_that_is_given_is_never_the_listeners(pki: Path) -> None:
    listener = tenants(pki, "{mode: optional, ca: ca-L.pem}", "client_auth: {ca: null}")
    tls = listener.tenant_tls["a"]
    assert (tls.client_auth.mode, names(tls)) == ("optional", {})
    listener = tenants(pki, "{mode: required, ca: ca-L.pem}", "client_auth: {mode: none}, profile: bcp195-rfc8996")
    tls = listener.tenant_tls["a"]
    assert (tls.client_auth.mode, tls.profile) == ("none", "bcp195-rfc8996")


def test_from_tenants_is_all_for_the_listener_and_its_own_for_each_tenant(pki: Path) -> None:
    listener = tenants(
        pki,
        "{mode: required, ca: from_tenants}",
        "client_auth: {ca: {x: ca-A.pem}}",
        "client_auth: {ca: {x: ca-B.pem}}",
    )
    assert names(own(listener)) == {"x": "ca-A.pem", "b/x": "ca-B.pem"}
    assert names(listener.tenant_tls["a"]) == {"x": "ca-A.pem"}
    a, b = listener.policy.entrances
    assert list(a.client_auth.anchors.values()) == [frozenset({"x"})]
    assert set(a.client_auth.anchors).isdisjoint(b.client_auth.anchors)
    assert set(listener.policy.client_auth.anchors) == {*a.client_auth.anchors, *b.client_auth.anchors}
    assert (a.client_auth.mode, b.client_auth.mode) == (ClientAuthMode.REQUIRED, ClientAuthMode.REQUIRED)
    pinned = set(listener.policy.client_auth.pinned)
    assert (pinned, set(a.client_auth.pinned), set(b.client_auth.pinned)) == (pinned, pinned, set())
    conditions = a.tenant.peers[0].cert
    assert conditions is not None
    assert conditions.file == pinned


def test_of_inherited_crls_a_tenant_has_those_of_its_own_cas(pki: Path) -> None:
    listener = tenants(
        pki,
        "{mode: required, ca: from_tenants, crl: [crl-A.pem, crl-B.pem]}",
        "client_auth: {ca: ca-A.pem}",
        "client_auth: {ca: ca-B.pem}",
    )
    assert [Path(file.path).name for file in own(listener).client_auth.crl] == ["crl-A.pem", "crl-B.pem"]
    assert [Path(file.path).name for file in listener.tenant_tls["a"].client_auth.crl] == ["crl-A.pem"]


def test_on_a_plaintext_listener_a_tenant_keeps_its_own_demand(pki: Path) -> None:
    text = PLAIN.replace("    upstream:", "    tls: {client_auth: {mode: required, ca: ca-A.pem}}\n    upstream:")
    listener = good(pki, text).listeners[0]
    assert listener.tls is None
    assert listener.policy.entrances[0].client_auth.mode is ClientAuthMode.REQUIRED


def test_files_are_read_once_and_all_are_listed(pki: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, paths = files._read, list[str]()
    monkeypatch.setattr(files, "_read", lambda path, maximum: (paths.append(path), read(path, maximum))[1])
    write_pair(pki, certs.leaf("pacs", certs.ca("Server CA"), eku=(certs.SERVER,)), "pacs")
    loaded = load_text(pki, TLS)
    assert paths == loaded.files
    assert [Path(file).name for file in loaded.files] == ["config.yaml", "pacs.pem", "pacs.key"]
    assert loaded.config is not None
    pair = own(loaded.config.listeners[0]).certificates[0]
    assert pair.chain.where == f"{pki / 'config.yaml'}:6"
    assert "PRIVATE KEY" not in repr(loaded.config)


def test_included_tenants_and_their_own_upstreams(tmp_path: Path) -> None:
    write(tmp_path, "tenants:\n  clinic:\n    called_aets: [CLINIC]\n    upstream: clinic\n    peers: [{aet: A, allow: [all]}]\nupstreams:\n  clinic: {servers: [{address: 'clinic:104'}]}\n", "tenants.d/clinic.yaml")  # fmt: skip
    text = PLAIN.replace("[hospital]", "[hospital, clinic]") + "include: [tenants.d/*.yaml]\n"
    config = good(tmp_path, text)
    assert (sorted(config.tenants), sorted(config.upstreams)) == (["clinic", "hospital"], ["clinic", "pacs"])
    assert config.tenants["clinic"].where[""] == f"{tmp_path / 'tenants.d/clinic.yaml'}:2"
    foreign = load_text(tmp_path, text.replace("    upstream: pacs", "    upstream: clinic"))
    assert [str(finding).replace(f"{tmp_path}/", "") for finding in foreign.findings] == [
        "config.yaml:10:15: tenants.hospital.upstream: clinic is defined in tenants.d/clinic.yaml: only tenants of that file may name it"
    ]  # fmt: skip


def test_paths_are_relative_to_the_file_that_contains_them(pki: Path) -> None:
    write(pki, "tenants:\n  a: {called_aets: [A], upstream: pacs, peers: [{aet: A, cert: {file: [ct1.pem]}, allow: [all]}]}\n", "more/a.yaml")  # fmt: skip
    loaded = load_text(pki, PLAIN + "include: [more/a.yaml]\n")
    assert f"{pki}/more/ct1.pem cannot be read: no such file or directory" in str(loaded.findings[-1])


@pytest.mark.parametrize(
    ("include", "included", "message"),
    [
        ("none/*.yaml", None, "config.yaml:15:11: include: 'none/*.yaml' matches no file"),
        ("config.yaml", None, "config.yaml:15:11: include: config.yaml is included twice, or includes itself"),
        ("more.yaml", "version: 1\n", "more.yaml:1:1: version: an included file may contain only tenants, upstreams, identity_providers"),
        ("more.yaml", "tenants: x\n", "more.yaml:1:10: tenants: must be a mapping"),
        ("more.yaml", "tenants: [\n", "more.yaml:2:1: not valid YAML"),
        ("more.yaml", "tenants:\n  hospital: {called_aets: any}\n", "more.yaml:2:3: tenants.hospital: is already defined at config.yaml:8"),
        ("more.yaml", "upstreams:\n  pacs: {servers: x}\n", "more.yaml:2:3: upstreams.pacs: is already defined at config.yaml:14"),
    ],
)  # fmt: skip
def test_includes_that_cannot_be_followed(tmp_path: Path, include: str, included: str | None, message: str) -> None:
    if included is not None:
        write(tmp_path, included, "more.yaml")
    loaded = load_text(tmp_path, PLAIN + f"include: [{include}]\n")
    assert loaded.config is None
    assert any(str(finding).replace(f"{tmp_path}/", "").startswith(message) for finding in loaded.findings)


def test_tenant_defaults_go_under_each_tenant_key_by_key(pki: Path) -> None:
    text = TENANTS.replace("LISTENER", "{mode: none}").replace("TENANT_A", "client_auth: {mode: optional}")
    text = text.replace("    tls: {TENANT_B}\n", "") + (
        "tenant_defaults:\n  max_associations: 5\n  called_aets: [OTHER]\n"
        "  routes: {X: pacs}\n  tls: {client_auth: {mode: required, ca: {x: ca-A.pem}}}\n"
    )
    config = good(pki, text)
    assert [tenant.max_associations for tenant in config.tenants.values()] == [5, 5]
    assert [tenant.called_aets for tenant in config.tenants.values()] == [{"A"}, {"B"}]
    tls = config.listeners[0].tenant_tls["a"]
    assert (tls.client_auth.mode, names(tls)) == ("optional", {"x": "ca-A.pem"})


def test_a_mistake_in_tenant_defaults_is_reported_once(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, PLAIN.replace("upstreams:", "  x: {called_aets: [X], upstream: pacs, peers: [{aet: A, allow: [all]}]}\nupstreams:") + "tenant_defaults: {idle: 5, colour: red}\n")  # fmt: skip
    told = [finding.code for finding in loaded.findings]
    assert told == ["E110", "E111"]


def test_the_search_order(tmp_path: Path) -> None:
    option, variable = write(tmp_path, "a: 1", "option.yaml"), write(tmp_path, "a: 1", "variable.yaml")
    assert find_config(str(option), {"DICOMGATE_CONFIG": str(variable)}) == option
    assert find_config(None, {"DICOMGATE_CONFIG": str(variable)}) == variable
    for wrong in (tmp_path / "missing.yaml", option / "x.yaml", tmp_path / ("x" * 300), Path("\0")):
        with pytest.raises(ConfigNotFound, match="there is no such file"):
            find_config(str(wrong), {})
    with pytest.raises(ConfigNotFound, match=r"this is a folder\. Name a file in it, e\.g\. --config .*/config\.yaml"):
        find_config(str(tmp_path), {})
    with pytest.raises(ConfigNotFound, match="this is not a regular file"):
        find_config("/dev/null", {})
    with pytest.raises(ConfigNotFound, match="DICOMGATE_CONFIG"):
        find_config(None, {"DICOMGATE_CONFIG": "/missing"})


def test_time_is_given_by_the_caller_where_it_matters(pki: Path) -> None:
    write_pair(pki, certs.leaf("pacs", certs.ca("Server CA"), eku=(certs.SERVER,)), "pacs")
    path = write(pki, TLS)
    later = certs.now() + datetime.timedelta(days=400)
    assert [finding.code for finding in load(path, environ={}, now=later).findings] == ["E306"]


def test_workers_get_values_without_heavy_imports() -> None:
    program = "import sys, proxy.config; print(sorted({'pydantic', 'yaml', 'cryptography'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_values_are_plain_and_frozen(tmp_path: Path) -> None:
    config = good(tmp_path, PLAIN)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.path = "x"  # type: ignore[misc]
    assert type(config.tenants["hospital"].upstream) is str
    assert type(config.tenants["hospital"].peers[0].aet[0]) is str
