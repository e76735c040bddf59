"""dicomgate: a DICOM TLS gateway. The layers and the direction of their imports are listed in CONTRIBUTING.md."""

__version__ = "0.1.0"
