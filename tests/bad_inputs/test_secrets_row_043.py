"""Row 43: keys of sessions never leave the process. (Some library may open the key log and write nothing.)"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bad_inputs.bed import Bed
from tests.bad_inputs.case import Case
from tests.support import gateway


def test_row_043_key_log_in_the_environment(
    start_bed: Callable[..., Bed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_log = tmp_path / "keys.log"
    clean = gateway.clean_environment
    monkeypatch.setattr(gateway, "clean_environment", lambda extra: clean({**extra, "SSLKEYLOGFILE": str(key_log)}))
    case = Case(start_bed())
    case.released(case.associated())
    case.check()
    assert not key_log.exists() or "SECRET" not in key_log.read_text()
