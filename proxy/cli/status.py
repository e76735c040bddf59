"""`dicomgate status`.

`--format json`: `{ok, started, time, draining, config, listeners: [name], workers: [{pid, generation, state,
associations}], upstreams: [{name, balance, servers: [{server, weight, backup, state, failures, retry_in, associations,
check}]}], associations: [{id, tenant, peer, calling_aet, called_aet, client, upstream, server, age, bytes_in,
bytes_out, stored, worker, generation}]}`. Times are seconds since 1970, `age` is seconds since the connection, sizes
are bytes, `stored` counts C-STORE requests; age, sizes and `stored` are null if a worker did not answer in time.
`state` of a server: up; failing: the last `failures` attempts to connect failed, the next one is in `retry_in` seconds;
or down, by its health check. `check`: the last health check, `{type, time, outcome, failed_step, detail, seconds,
implementation}`, or null.
"""

from collections import Counter
from collections.abc import Iterator

from proxy.cli.asking import Answer, ConfigOption, ControlOption, agreed, counted, find_gateway
from proxy.cli.output import Format, FormatOption, duration, say, say_json
from proxy.config.quoting import printable

_STATE_STYLES = {"silent": "bold red", "starting": "yellow", "draining": "yellow"}


def command(control: ControlOption = None, config: ConfigOption = None, format: FormatOption = Format.TEXT) -> None:
    """Show the workers of a running gateway, its servers, and its open associations by tenant.

    Exit code: 0 answered, 2 usage, 3 no gateway answers.
    """
    answer = agreed(find_gateway(control, config).ask("status"))
    if format is Format.JSON:
        say_json(answer)
        return
    for line, style in _lines(answer):
        say(printable(line), style)


def _lines(answer: Answer) -> Iterator[tuple[str, str]]:
    """Yield each line with its style."""
    state = "draining: new associations are refused" if answer["draining"] else "serving"
    up = duration(answer["time"] - answer["started"])
    yield f"{answer['config']}  {state}, up {up}", "bold yellow" if answer["draining"] else "bold"
    yield f"  listeners     {', '.join(answer['listeners'])}", ""
    newest = max((worker["generation"] for worker in answer["workers"]), default=0)
    for worker in sorted(answer["workers"], key=lambda one: (-one["generation"], one["pid"])):
        generation = f"generation {worker['generation']}{'' if worker['generation'] == newest else ' (old)'}"
        line = (
            f"  worker        pid {worker['pid']}, {generation}, {worker['state']}, {counted(worker['associations'])}"
        )
        yield line, _STATE_STYLES.get(worker["state"], "")
    for upstream in answer.get("upstreams", ()):  # an older gateway sends none
        for server in upstream["servers"]:
            yield f"  upstream      {upstream['name']}, {_server(server, answer['time'])}", _state_style(server)
    yield f"  associations  {len(answer['associations'])}", ""
    tenants = Counter(str(one["tenant"]) for one in answer["associations"])
    width = max(map(len, tenants), default=0)
    for tenant, count in sorted(tenants.items()):
        yield f"    {tenant:<{width}}  {count}", ""


def _server(server: Answer, now: float) -> str:
    """Return e.g. `pacs-1.example.org:104 (backup), up, 3 associations; echo check 4 s ago: it answers`."""
    backup = " (backup)" if server["backup"] else ""
    state = server["state"]
    if server["failures"]:
        state += f", {server['failures']} failed connection{'' if server['failures'] == 1 else 's'} in a row"
    if server["retry_in"] is not None:
        state += f", tried again in {duration(server['retry_in'])}"
    check = server["check"]
    found = f"; {check['type']} check {duration(now - check['time'])} ago: {check['detail']}" if check else ""
    return f"{server['server']}{backup}, {state}, {counted(server['associations'])}{found}"


def _state_style(server: Answer) -> str:
    if server["state"] != "up":
        return "bold red"
    return "yellow" if server["check"] and server["check"]["outcome"] != "ok" else ""
