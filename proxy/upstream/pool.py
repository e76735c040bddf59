"""The order in which the servers of an upstream are tried. Pure: nothing here waits, dials or counts."""

import math
from collections.abc import Sequence

from proxy.config.values import Server, Upstream

FIRST_PAUSE = 1.0  # seconds that a server is left alone after its first failure; doubled with each further one
LONGEST_PAUSE = 60.0


def candidates(upstream: Upstream, loads: Sequence[int], turn: int) -> list[Server]:
    """Return all servers in the order to try them: backups after all others.

    `loads`: associations of each server, in the order of the configuration. `turn`: number of this choice.
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
    """Begin with the server whose turn it is. Of as many turns as the sum of all weights, each has its weight."""
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
    """Return a step that is coprime to `total`, so that it visits all points, and near the golden section, so that it
    spreads them evenly.
    """
    stride = max(1, round(total * 0.618))
    while math.gcd(stride, total) != 1:
        stride += 1
    return stride


def pause(failures: int, *, alone: bool) -> float:
    """Return the seconds to leave a server alone after `failures` in a row. `alone`: there is no other server."""
    if alone:
        return FIRST_PAUSE
    return min(FIRST_PAUSE * 2.0 ** min(failures - 1, 16), LONGEST_PAUSE)
