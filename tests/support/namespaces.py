"""A gateway with a private mount namespace: other processes do not see its mounts, which go with its last process."""

import os
import subprocess

import pytest

_OWN_USER = () if os.getuid() == 0 else ("--map-root-user",)
_UNSHARE = ("unshare", *_OWN_USER, "--mount", "--propagation", "private")


def mounted(*commands: str) -> tuple[str, ...]:
    """A launcher that runs these shell commands first, in a mount namespace. Skips the test where there is none."""
    if subprocess.run([*_UNSHARE, "true"], capture_output=True).returncode:
        pytest.skip("needs root, or user namespaces")
    return (*_UNSHARE, "sh", "-ec", "\n".join((*commands, 'exec "$@"')), "sh")
