"""Writes the pages that are made from the code: `python -m tests.documents`."""

from tests.documents.files import ROOT
from tests.documents.generated import PAGES


def main() -> None:
    """Write every page that has changed, and name it."""
    for name, text in PAGES.items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text():
            path.write_text(text())
            print(name)


if __name__ == "__main__":
    main()
