"""One entry of the manual of refusals."""

from dataclasses import dataclass

NOT_GIVEN = "Not given by this version."
NOTHING = "Nothing."


@dataclass(frozen=True, slots=True)
class ManualEntry:
    """The knowledge that an administrator needs of a reason. Sentences for a terminal, without Markdown.

    `sender`: what the sender shows; empty where its answer says it. `advice`: `change` for a decided request, with the
    placeholders of `proxy.explain.advice`; empty where no fact of the request helps.
    """

    meaning: str
    check: str  # first, before anything is changed
    change: str
    sender: str = ""
    advice: str = ""
