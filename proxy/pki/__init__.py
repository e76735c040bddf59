"""The development PKI: issue, renew and revoke certificates."""
