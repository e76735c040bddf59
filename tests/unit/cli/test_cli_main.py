"""The command itself: a quick `version`, all verbs in the help, usage errors on standard error with exit code 2."""

import json
import re
import subprocess
import sys

import pytest

from proxy import __version__
from proxy.cli.__main__ import VERBS, main
from tests.support.stopwatch import least


def test_version_costs_less_than_a_fifth_of_a_second_of_cpu() -> None:
    script = (
        "import resource, sys; from proxy.cli.__main__ import main; main(['version']); "
        "used = resource.getrusage(resource.RUSAGE_SELF); print(used.ru_utime + used.ru_stime); "
        "print(sorted({'typer', 'pydantic', 'aiohttp', 'cryptography', 'yaml'} & set(sys.modules)))"
    )

    def cost() -> float:
        run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        lines = run.stdout.split("\n")
        assert lines[0].startswith(f"dicomgate {__version__} (Python ")
        assert lines[2] == "[]"
        return float(lines[1])

    assert least(cost, 0.2) < 0.2


@pytest.mark.parametrize(
    ("redirection", "code", "message"),
    [
        (">/dev/full", 2, "dicomgate: standard output: No space left on device\n"),
        (">&-", 0, ""),
        ("2>&- >&- <&-", 0, ""),
        ("| true", 0, ""),
    ],
)
@pytest.mark.parametrize("verb", ["version", "schema"])
def test_unwritable_output_leaves_no_traceback(verb: str, redirection: str, code: int, message: str) -> None:
    command = f"'{sys.executable}' -m proxy.cli {verb} {redirection}"
    ended = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (code, message)


def test_results_and_notes_keep_their_order_in_one_pipe() -> None:
    script = "from proxy.cli.output import note, say; say('wrote'); note('next'); say('then')"
    run = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True)
    assert run.stdout == b"wrote\nnext\nthen\n"


def test_help_lists_every_verb(capsys) -> None:
    assert main(["--help"]) == 0
    assert set(VERBS) <= set(re.findall(r"[a-z]+", capsys.readouterr().out))


@pytest.mark.parametrize("arguments", [["frobnicate"], ["version", "--no-such-option"], ["echo"]])
def test_usage_errors_exit_2(capsys, arguments: list[str]) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Error" in captured.err


def test_schema_is_printed_as_json(capsys) -> None:
    assert main(["schema"]) == 0
    assert "listeners" in json.loads(capsys.readouterr().out)["properties"]
