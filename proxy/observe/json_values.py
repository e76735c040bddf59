"""Values of a log line: JSON of bounded length, without unknown fields."""

Json = str | int | float | bool | list["Json"] | dict[str, "Json"]

#: Longest text in characters. Peers choose some of it, and a certificate subject may have any length.
MAX_TEXT = 512


def known_fields(fields: dict[str, Json | None]) -> dict[str, Json]:
    """Return the fields that are neither None nor empty, with text cut to MAX_TEXT."""
    known: dict[str, Json] = {}
    for key, value in fields.items():
        if value:
            # Nearly all values are numbers or short texts. A call for each would double the cost of a record.
            plain = type(value) is int or (type(value) is str and len(value) <= MAX_TEXT)
            known[key] = value if plain else _bounded(value)
        elif value == 0:  # a count of zero is known
            known[key] = value
    return known


def _bounded(value: Json) -> Json:
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else value[:MAX_TEXT] + "..."
    if isinstance(value, list):
        return [_bounded(item) for item in value]
    return value
