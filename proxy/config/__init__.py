"""The checked configuration as plain frozen values. Who loads one imports `proxy.config.load`; workers never do."""

from proxy.config.values import (
    ClientAuthSettings,
    Config,
    File,
    KeyPair,
    Limits,
    Listener,
    Log,
    Server,
    Timeouts,
    TlsSettings,
    Upstream,
)

__all__ = [
    "ClientAuthSettings",
    "Config",
    "File",
    "KeyPair",
    "Limits",
    "Listener",
    "Log",
    "Server",
    "Timeouts",
    "TlsSettings",
    "Upstream",
]
