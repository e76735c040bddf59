"""Upstreams: choice of a server, connecting, verification by C-ECHO, health. No socket of an association is held here."""
