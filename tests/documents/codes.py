"""docs/reference/codes.md, from `proxy/config/codes.py`."""

from proxy.config.codes import CODES
from tests.documents.markdown import page, table


def codes() -> str:
    """The page."""
    return page(
        "Codes of findings",
        "proxy/config/codes.py",
        "`dicomgate check` reports them with file, line and column. E: the configuration is refused (exit code 2).",
        "W: it is loaded, but probably does not mean what its author meant (exit code 0, or 1 with `--strict`).",
        "The hundreds tell the stage: 1 the text, 2 names and combinations of values, 3 files and certificates, 9 what",
        "is not built.",
        "",
        *table(["Code", "Finding", "To do"], ((f"`{code}`", *described) for code, described in CODES.items())),
    )
