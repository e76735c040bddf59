"""`dicomgate schema`."""

from proxy.cli.output import say_json


def command() -> None:
    """Print the JSON Schema of the configuration, for editors and CI."""
    from proxy.config.schema import json_schema

    say_json(json_schema())
