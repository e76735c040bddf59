"""Text as a value of the configuration."""

import json
import re

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def yaml_text(text: str) -> str:
    """Quoted where a colon, a star, `null` or `${` would mean something else."""
    if _PLAIN.fullmatch(text) and text.lower() != "null":
        return text
    return json.dumps(text.replace("${", "$${"))
