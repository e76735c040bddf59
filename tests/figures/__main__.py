"""Measure the code of `proxy`: python -m tests.figures [PATH ...], a checkout each; this one if none is given."""

import argparse
from pathlib import Path

from tests.figures import report


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.figures", description=__doc__)
    parser.add_argument("checkouts", metavar="PATH", nargs="*", type=Path, default=[Path(__file__).parents[2]])
    parser.add_argument("--format", choices=("markdown", "json"), default="markdown")
    parser.add_argument("--no-trips", action="store_true", help="leave out what needs a running gateway")
    options = parser.parse_args()
    figures = {
        path.resolve().name: report.measure(path.resolve(), with_trips=not options.no_trips)
        for path in options.checkouts
    }
    print(report.as_json(figures) if options.format == "json" else report.as_markdown(figures))


if __name__ == "__main__":
    main()
