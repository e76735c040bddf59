"""The error for TLS settings or files of the gateway that cannot be used. The text is for the administrator only."""

from proxy.config.values import File


class TlsSetupError(Exception):
    """A certificate, key, CA, CRL or profile cannot be used. `source` is the file or the line of the configuration."""

    def __init__(self, source: File | str, problem: str) -> None:
        places = (source.where, source.path) if isinstance(source, File) else (source,)
        super().__init__(": ".join([*filter(None, places), problem]))
        self.problem = problem
