"""TLS: the ClientHello, the DICOM profiles, one context per tenant, the sans-IO endpoint, client certificates."""
