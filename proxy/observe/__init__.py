"""Metrics, access records and the application log."""
