"""Values of the configuration as a file gives them that leaves everything out, changed where a test needs it."""

import dataclasses
import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proxy.config.values import Config, HealthCheck, Limits, Listener, Server, Timeouts, Upstream
from proxy.policy import Tenant
from tests.support.configs import PLAIN, load_text

_CHECKED = PLAIN.replace("{servers:", "{health_check: {type: tcp}, servers:")


@functools.cache
def _loaded() -> Config:
    """The smallest configuration, loaded: the defaults are those of the models, which are written nowhere else."""
    with tempfile.TemporaryDirectory() as folder:
        config = load_text(Path(folder), _CHECKED).config
    assert config is not None
    return config


def config(
    listeners: tuple[Listener, ...] = (),
    tenants: Mapping[str, Tenant] | None = None,
    upstreams: Mapping[str, Upstream] | None = None,
    **changes: Any,
) -> Config:
    """A configuration of these listeners, tenants and upstreams, from no file."""
    return dataclasses.replace(
        _loaded(), path="config.yaml", listeners=listeners, tenants=tenants or {}, upstreams=upstreams or {}, **changes
    )


def timeouts(**changes: float) -> Timeouts:
    """`timeouts`, in seconds."""
    return dataclasses.replace(_loaded().timeouts, **changes)


def limits(**changes: int) -> Limits:
    """`limits`."""
    return dataclasses.replace(_loaded().limits, **changes)


def health_check(type: str, **changes: Any) -> HealthCheck:
    """A health check of that type."""
    loaded = _loaded().upstreams["pacs"].health_check
    assert loaded is not None
    return dataclasses.replace(loaded, type=type, **changes)


def upstream(name: str, servers: tuple[Server, ...], **changes: Any) -> Upstream:
    """An upstream of plain DICOM without a health check."""
    return dataclasses.replace(
        _loaded().upstreams["pacs"], **{"name": name, "servers": servers, "health_check": None, "where": "", **changes}
    )
