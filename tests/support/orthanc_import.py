"""Converts Orthanc configurations as `dicomgate import` does, and loads the result."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from proxy.config.load import Loaded, load
from proxy.config.unbuilt import UNBUILT
from proxy.orthanc.model import Orthanc, read_orthanc
from proxy.orthanc.peers import PeerEntry, make_peers
from proxy.orthanc.trust import Bundle, Trust
from proxy.orthanc.yaml import Surroundings, default_bind, render

Values = dict[str, Any]


def values(*modalities: tuple[str, str, str], **options: Any) -> Values:
    """Return an Orthanc configuration with modalities (name, AET, host) in the short form."""
    entries = {name: [aet, host, 104] for name, aet, host in modalities}
    return {"DicomModalities": entries, **options}


def peers(
    settings: Values, addresses: Mapping[str, list[str]] | None = None, trust: Trust | None = None
) -> list[PeerEntry]:
    """Return the entries of the allowlist, comments included."""
    return make_peers(read_orthanc(settings), addresses or {}, trust or Trust())


def text_of(settings: Values, addresses: Mapping[str, list[str]] | None = None) -> str:
    """Return the YAML for an Orthanc without TLS, with an upstream on 127.0.0.1."""
    orthanc: Orthanc = read_orthanc(settings)
    around = Surroundings("orthanc.json", default_bind(orthanc), f"127.0.0.1:{orthanc.port}")
    return render(orthanc, make_peers(orthanc, addresses or {}, Trust()), Trust(), Bundle(), around)[0]


def as_built(text: str) -> str:
    """Remove the keys of peers that this version does not support; the others decide on associations."""
    document = yaml.load(text, Loader=yaml.BaseLoader)  # every scalar stays text, as in the gateway
    for peer in document["tenants"]["orthanc"]["peers"]:
        for key in ("allow", "transfer_syntaxes", "move_destinations"):
            if f"tenants.*.peers.*.{key}" in UNBUILT and key in peer:
                del peer[key]
        peer.setdefault("allow", ["all"])
    return yaml.safe_dump(document, sort_keys=False)


def load_imported(folder: Path, settings: Values) -> Loaded:
    """Import, write and load a configuration."""
    path = folder / "config.yaml"
    path.write_text(as_built(text_of(settings)))
    return load(path, environ={})


def write_orthanc(folder: Path, settings: Values | str, name: str = "orthanc.json") -> Path:
    """Write an Orthanc configuration to disk and return its path."""
    path = folder / name
    path.write_text(settings if isinstance(settings, str) else json.dumps(settings, indent=1))
    return path
