"""Upstreams: choice of a server, connecting, verification by C-ECHO, health; no socket of an association."""
