"""`dicomgate version`."""

import platform
import ssl

from proxy import __version__


def command() -> None:
    """Print the version of dicomgate, Python and OpenSSL."""
    print(f"dicomgate {__version__} (Python {platform.python_version()}, {ssl.OPENSSL_VERSION})")
