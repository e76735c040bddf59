"""The documents followed with their servers: gateways, PACS and load balancers run, and every command is typed."""

from pathlib import Path

import pytest

from tests.documents.blocks import DOCUMENTS
from tests.documents.story import Story, needs_servers

pytestmark = pytest.mark.peers


@pytest.mark.parametrize("document", [*filter(needs_servers, DOCUMENTS)])
def test_what_it_shows_is_what_happens(document: str, tmp_path: Path) -> None:
    reader = Story(tmp_path / "story", online=True)
    reader.follow(document)
    assert reader.outputs == {}, "\n".join(f"{place} prints:\n{output}" for place, output in reader.outputs.items())
