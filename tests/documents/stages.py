"""The stages of an association, as the table of docs/architecture.md names them."""

import re

from proxy.policy import Reason
from tests.documents.files import read

_TITLE = "The life of an association"
#: The stage of a reason that no row of the table has: it arises at each.
ANY = "any"


def stages() -> dict[str, list[str]]:
    """Each stage of the table, in its order, with its reasons."""
    _, found, rest = read("docs/architecture.md").partition(f"\n## {_TITLE}\n")
    assert found, _TITLE
    lines = [line.split("|") for line in rest.partition("\n## ")[0].splitlines() if line.startswith("| ")][1:]
    return {cells[1].strip(): re.findall(r"`(\w+)`", cells[4]) for cells in lines}


def stages_of(reason: Reason) -> list[str]:
    """The stages where a reason mostly arises."""
    return [stage for stage, reasons in stages().items() if reason in reasons] or [ANY]
