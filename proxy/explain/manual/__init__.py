"""The manual of refusals as data, a file for each part of a connection's life."""
