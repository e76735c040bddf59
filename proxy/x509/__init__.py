"""Certificates, revocation lists, requests and keys: one reader of each, one judge of weakness."""
