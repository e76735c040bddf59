"""The error for a control socket that cannot be created."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from proxy.process.control import ControlError, ControlServer


async def nothing(verb: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    raise AssertionError(verb)


def test_the_error_for_a_socket_that_cannot_be_created_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "control.sock"
    with pytest.raises(ControlError) as raised:
        asyncio.run(ControlServer(str(path), nothing).start())
    assert str(raised.value).startswith(
        f"control: {path}: File exists: set `control` to a path that dicomgate may write"
    )
