"""One entry of the manual of refusals."""

from dataclasses import dataclass

NOT_GIVEN = "Not given by this version."
NOTHING = "Nothing."


@dataclass(frozen=True, slots=True)
class ManualEntry:
    """The meaning of a reason and its remedy, in sentences for a terminal, without Markdown.

    `sender`: the words that the sender shows; empty if they follow from the answer. `advice`: `change` for a decided
    request, with the placeholders of `proxy.explain.advice`; empty if no fact of the request helps.
    """

    meaning: str
    check: str  # first, before anything is changed
    change: str
    sender: str = ""
    advice: str = ""
