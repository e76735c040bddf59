"""Which server of an upstream is to be asked first, and which after it. Nothing here waits, dials or counts."""

import math
from collections.abc import Sequence

from proxy.config.values import Server, Upstream

FIRST_PAUSE = 1.0  # seconds that a server is left alone behind its first failure; doubled with each one that follows
LONGEST_PAUSE = 60.0


def candidates(upstream: Upstream, loads: Sequence[int], turn: int) -> list[Server]:
    """All servers in the order to be tried: the backups behind all others.

    `loads`: associations of each server, in the order of the configuration. `turn` counts the choices.
    """
    servers = upstream.servers
    if upstream.balance == "first_up":
        ordered = list(range(len(servers)))
    elif upstream.balance == "round_robin":
        primaries = [index for index, server in enumerate(servers) if not server.backup]
        backups = [index for index, server in enumerate(servers) if server.backup]
        ordered = [*_rotated(servers, primaries, turn), *_rotated(servers, backups, turn)]
    else:
        count = len(servers)
        ordered = sorted(range(count), key=lambda i: (loads[i] / servers[i].weight, (i - turn) % count))
    return sorted((servers[index] for index in ordered), key=lambda server: server.backup)


def _rotated(servers: Sequence[Server], indexes: list[int], turn: int) -> list[int]:
    """Begin with the one whose turn it is. In as many turns as all weights together each has as many as its weight."""
    total = sum(servers[index].weight for index in indexes)
    if not total:
        return []
    point = turn * _stride(total) % total
    for position, index in enumerate(indexes):
        point -= servers[index].weight
        if point < 0:
            return indexes[position:] + indexes[:position]
    raise AssertionError("the weights do not add up")


def _stride(total: int) -> int:
    """Coprime to `total`, so that all points are visited, and far from its ends, so that turns are spread evenly."""
    stride = max(1, round(total * 0.618))
    while math.gcd(stride, total) != 1:
        stride += 1
    return stride


def pause(failures: int, *, alone: bool) -> float:
    """Seconds that a server is left alone behind so many failures in a row; `alone`: there is no other to ask."""
    if alone:
        return FIRST_PAUSE
    return min(FIRST_PAUSE * 2.0 ** min(failures - 1, 16), LONGEST_PAUSE)
