"""Run each configuration of examples/: senders with a known, an unknown and no SNI get the answer that `check` prints.

Keys that are not supported yet are removed, addresses are this machine's, and the certificates are made for the test.
"""

import hashlib
import itertools
import json
import re
import shutil
import ssl
import sys
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.pdu import PduType
from proxy.pdu.proxy_header import encode_proxy_header
from tests.support import certs
from tests.support.client import client_context, connect, request
from tests.support.configs import write_pair
from tests.support.gateway import REPOSITORY, Gateway
from tests.support.ports import free_port
from tests.support.processes import Child, clean_environment
from tests.unit.examples.test_example_configurations import EXAMPLES, UNBUILT, edited, folder

__all__ = ["folder"]  # the fixture with every file that the examples name

ALERTS = {112: "unrecognized name", 40: "handshake failure"}
NOBODY = "NOBODY"
NULL = "tag:yaml.org,2002:null"
Json = dict[str, Any]
#: Each question from an address of its own, or the log would sum them up.
SOURCES = (f"127.0.1.{number}" for number in itertools.count(1))


class TextLoader(yaml.BaseLoader):
    """Every scalar is text, but for null."""


TextLoader.add_implicit_resolver(NULL, re.compile("null$"), ["n"])
TextLoader.add_constructor(NULL, lambda loader, node: None)


def built(name: str) -> Json:
    """An example, changed so that this version can run it here."""
    config: Json = yaml.load(edited(EXAMPLES / name), Loader=TextLoader)
    for path in sorted(UNBUILT[name], reverse=True):
        drop(config, path.split("."))
    for path in ("admin", "control", "reload", "include"):
        config.pop(path, None)
    config["admin"] = {"listen": f"127.0.0.1:{free_port()}"}
    for listener in config["listeners"].values():
        listener["bind"] = [f"127.0.0.1:{free_port()}"]
        if listener.get("proxy_protocol"):
            listener["proxy_protocol"]["trusted"].append("127.0.0.0/8")
    for part in (*config["listeners"].values(), *config["tenants"].values()):
        if isinstance(part.get("networks"), list):
            part["networks"].append("127.0.0.0/8")
    for upstream in config["upstreams"].values():
        for server in upstream["servers"]:
            server["address"] = f"127.0.0.1:{free_port()}"
    return config


def drop(node: Any, path: list[str]) -> None:
    """Remove a setting, and each block that is empty without it."""
    step: Any = int(path[0]) if isinstance(node, list) else path[0]
    if isinstance(node, dict) and step not in node:
        return  # removed together with its block
    if path[1:]:
        drop(node[step], path[1:])
    if isinstance(node, list):
        if not path[1:]:
            del node[step:]  # a second server, and those after it
    elif not path[1:] or node[step] in ({}, []):
        del node[step]


@pytest.fixture
def running(folder: Path, tmp_path: Path, start_gateway: Callable[..., Gateway], request: Any) -> Gateway:
    shutil.copytree(folder, tmp_path / "gateway0")
    environment = f"CREDENTIALS_DIRECTORY={tmp_path / 'gateway0'}"
    return start_gateway(built(request.param), launcher=("env", environment))


def checked(gateway: Gateway) -> Json:
    """The output of `check` for the running configuration."""
    check = Child(
        [sys.executable, "-m", "proxy.cli", "check", "--config", gateway.path, "--format", "json"],
        env=clean_environment({"PYTHONPATH": str(REPOSITORY), "CREDENTIALS_DIRECTORY": str(gateway.path.parent)}),
    )
    check.process.wait(20)
    assert check.end() == 0, check.text
    report: Json = json.loads("\n".join(check.output))
    assert report["ok"], report
    return report


def names_of(row: Json) -> Iterator[str | None]:
    """The server names that a row is about."""
    match row["sender"]:
        case "known":
            yield row["server_name"].replace("*", "x")
            yield row["server_name"].replace("*", "X").upper()
        case "unknown":
            yield "unknown.invalid"
        case "none":
            yield None
        case "any":
            yield from (None, "unknown.invalid")


def certificates_of(gateway: Gateway, listener: str, tenant: str | None) -> set[str]:
    """SHA-256 of the certificates that are configured for a tenant, or for the listener."""
    own = (gateway.config["tenants"][tenant].get("tls") or {}) if tenant is not None else {}
    entries = own.get("certificates") or gateway.config["listeners"][listener]["tls"]["certificates"]
    files = [entry["chain"] if "chain" in entry else f"{entry['dir']}/tls.crt" for entry in entries]
    leaves = [(gateway.path.parent / file).read_text().split("-----END CERTIFICATE-----")[0] for file in files]
    return {hashlib.sha256(ssl.PEM_cert_to_DER_cert(f"{leaf}-----END CERTIFICATE-----")).hexdigest() for leaf in leaves}


def ask(gateway: Gateway, listener: Json, name: str | None, context: ssl.SSLContext) -> tuple[str, str, Json]:
    """SHA-256 of the certificate shown, the alert received or "", and the access record."""
    since, shown, alert = gateway.mark(), "", ""
    port = int(listener["bind"][0].rpartition(":")[2])
    source = next(SOURCES)
    with connect(port, source=source) as wire:
        if listener["proxy_protocol"] is not None:
            version = int(listener["proxy_protocol"]["versions"][0][1:])
            ends = ((ip_address(address), 104) for address in (source, "127.0.0.1"))
            wire.send_raw(encode_proxy_header(version, *ends))
        try:
            wire.start_tls(context, name)
            assert wire.tls is not None
            shown = hashlib.sha256(wire.tls.getpeercert(True) or b"").hexdigest()
            wire.send(request(NOBODY, NOBODY))
            assert wire.receive_pdu()[0] == PduType.A_ASSOCIATE_RJ
        except ssl.SSLError as error:
            alert = (error.reason or "").lower().replace("_", " ")
    return shown, alert, gateway.wait_for_record(since=since)


@pytest.mark.parametrize("running", sorted(UNBUILT), indirect=True)
def test_senders_get_what_check_prints(running: Gateway) -> None:
    gateway = running
    stranger = certs.self_signed("stranger")
    write_pair(gateway.path.parent, stranger, "stranger")
    pair = (gateway.path.parent / "stranger.pem", gateway.path.parent / "stranger.key")
    anonymous, untrusted = client_context(), client_context(certificate=pair)
    asked = 0
    for listener in checked(gateway)["listeners"]:
        assert bool(listener["sni"]) == (listener["tls"] is not None)
        if listener["tls"] is None:
            with connect(int(listener["bind"][0].rpartition(":")[2])) as wire:
                wire.send(request(NOBODY, NOBODY))
                assert wire.receive_pdu()[0] == PduType.A_ASSOCIATE_RJ
            asked += 1
        for row in listener["sni"]:
            for name in names_of(row):
                shown, alert, record = ask(gateway, listener, name, anonymous)
                context = f"{listener['name']}, SNI {name}: {row}, {record}"
                asked += 1
                if row["alert"] is not None:
                    assert ALERTS[row["alert"]] in alert and record["reason"] in row["answer"], context
                    continue
                assert shown in certificates_of(gateway, listener["name"], row["tenant"]), context
                assert row["tenant"] is None or record["tenant"] == row["tenant"], context
                assert ("certificate required" in alert) == (row["client_auth"] == "required"), context
                assert bool(alert) == (row["client_auth"] == "required"), context
                _, alert, record = ask(gateway, listener, name, untrusted)
                assert bool(alert) == (row["client_auth"] != "none"), context
    assert asked >= len(gateway.config["listeners"])
