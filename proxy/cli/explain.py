"""`dicomgate explain`: the gateway's answer to a sender and its cause; or the meaning of a reason from the log.

`--format json`: `{accepted, listener, tenant, peer, upstream, server, upstream_tls, reason, answer, detail, advice,
would_refuse, trace: [{rule, outcome, detail, where}], contexts: [{uid, name, allowed, why}], move_refused}`; a value
that does not apply is null. `upstream_tls` is as in `dicomgate check`, `contexts` has the answer to each presentation
context that the sender would propose. For a reason: `{reason, meaning, answer, sender, check, change, observable}`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.cli.loading import ConfigOption, load_config
from proxy.cli.output import NO, CommandError, Format, FormatOption, note, say, say_json
from proxy.config.quoting import printable

if TYPE_CHECKING:
    from proxy.config.values import Config, Listener
    from proxy.explain.simulate import Explanation, SimulatedSender
    from proxy.policy import Refuse
    from proxy.x509.certificate import Certificate

_STYLES = {"pass": "green", "fail": "bold red", "would_refuse": "yellow", "skip": "dim"}


def command(
    reason: Annotated[
        str | None, typer.Argument(help="A reason from the log: print its meaning and what to do.")
    ] = None,
    config: ConfigOption = None,
    listener: Annotated[
        str | None, typer.Option("--listener", help="Listener; optional if the configuration has one.")
    ] = None,
    source: Annotated[
        str, typer.Option("--from", help="Source address; behind a load balancer, the one in the PROXY header.")
    ] = "127.0.0.1",
    sni: Annotated[str | None, typer.Option("--sni", help="Server name (SNI) that the sender sends.")] = None,
    cert: Annotated[
        Path | None, typer.Option("--cert", help="Client certificate, PEM with its intermediates; no key is needed.")
    ] = None,
    calling: Annotated[str | None, typer.Option("--calling", help="Calling AE title.")] = None,
    called: Annotated[str | None, typer.Option("--called", help="Called AE title.")] = None,
    sop_class: Annotated[
        list[str] | None, typer.Option("--sop-class", help="SOP class to propose: keyword or UID; may be repeated.")
    ] = None,
    operation: Annotated[
        list[str] | None, typer.Option("--operation", help="Operation to request, a word of allow; may be repeated.")
    ] = None,
    move_destination: Annotated[
        str | None, typer.Option("--move-destination", help="AE title that a C-MOVE sends to.")
    ] = None,
    format: FormatOption = Format.TEXT,
) -> None:
    """Explain the answer to a sender. Exit code: 0 accepted with all that was requested, 1 refused or in part, 2 usage.

    dicomgate explain --from 10.20.1.11 --calling CT1 --called MAINPACS

    dicomgate explain --from 10.20.1.11 --calling CT1 --called MAINPACS --operation store --sop-class CTImageStorage

    dicomgate explain calling_aet_unknown
    """
    if reason is not None:
        _explain_reason(reason, format)
        return
    if calling is None or called is None:
        raise CommandError("whose request? Give --calling TITLE and --called TITLE, or a reason from the log")
    from proxy.explain.simulate import simulate
    from proxy.tls.errors import TlsSetupError

    loaded = load_config(config)
    chosen = _choose(loaded, listener)
    sender = _sender(chosen, source, sni, cert, calling, called)
    sender = _with_proposals(chosen, sender, sop_class or [], operation or [], move_destination)
    try:
        explanation = simulate(chosen, sender)
    except TlsSetupError as error:
        raise CommandError(f"{error}; `dicomgate check` says more") from None
    if format is Format.JSON:
        say_json(explanation.to_dict(loaded))
    else:
        _print(explanation, loaded, sender)
    if explanation.refusal is not None or (sender.asks and not explanation.everything_allowed):
        raise typer.Exit(NO)


def _choose(config: "Config", name: str | None) -> "Listener":
    names = [listener.name for listener in config.listeners]
    if name is None:
        if len(names) > 1:
            raise CommandError(f"which listener? Give --listener {' or --listener '.join(names)}")
        return config.listeners[0]
    if name not in names:
        raise CommandError(f"--listener {name}: there is no such listener; there is {', '.join(names)}")
    return config.listeners[names.index(name)]


def _sender(
    listener: "Listener", source: str, sni: str | None, cert: Path | None, calling: str, called: str
) -> "SimulatedSender":
    from proxy.explain.simulate import SimulatedSender
    from proxy.pdu.ae_title import AE_TITLE_LENGTH
    from proxy.policy.addresses import normalize

    # Illegal titles may be simulated too, if they fit the field of an A-ASSOCIATE-RQ.
    for option, title in (("--calling", calling), ("--called", called)):
        if len(title) > AE_TITLE_LENGTH or not title.isascii():
            raise CommandError(f"{option} {printable(title)}: an AE title has at most 16 characters, all ASCII")
    if listener.tls is None and (sni is not None or cert is not None):
        raise CommandError(f"listener {listener.name} is plaintext: --sni and --cert do not apply")
    try:
        address = normalize(source)
    except ValueError:
        raise CommandError(f"--from {source}: not an IP address; names are not looked up") from None
    return SimulatedSender(address, calling, called, sni, _read_chain(cert) if cert is not None else ())


def _with_proposals(
    listener: "Listener",
    sender: "SimulatedSender",
    sop_classes: list[str],
    operations: list[str],
    move_destination: str | None,
) -> "SimulatedSender":
    from dataclasses import replace

    from proxy.cli.arguments import require_ae_title
    from proxy.dimse.services import Operation
    from proxy.explain.proposing import propose

    if move_destination is not None:
        require_ae_title("--move-destination", move_destination)
        operations = [*operations, Operation.MOVE]
    try:
        proposals = propose(sop_classes, operations)
    except ValueError as error:
        raise CommandError(str(error)) from None
    asks = bool(sop_classes or operations)
    if not asks:
        proposals = proposals[: listener.policy.max_presentation_contexts]
    return replace(sender, proposals=proposals, asks=asks, move_destination=move_destination)


def _read_chain(path: Path) -> "tuple[Certificate, ...]":
    from proxy.explain.presenting import read_chain

    try:
        return read_chain(path.read_bytes())
    except OSError as error:
        raise CommandError(f"--cert {path}: {error.strerror}") from None
    except ValueError:
        raise CommandError(
            f"--cert {path}: no certificate that can be read; `dicomgate pki inspect {path}` says more"
        ) from None


def _print(explanation: "Explanation", config: "Config", sender: "SimulatedSender") -> None:
    say(printable(f"{sender}, at listener {explanation.listener}"), "bold")
    if any(each.name == explanation.listener and each.proxy_protocol is not None for each in config.listeners):
        note("this listener is behind a load balancer: the address above is the one in the PROXY header")
    for step in explanation.steps:
        where = f"  [{step.where}]" if step.where else ""
        say(printable(f"  {step.outcome:<13}{step.rule:<18}{step.detail}{where}"), _STYLES[step.outcome])
    _print_contexts(explanation)
    if explanation.refusal is None:
        _print_acceptance(explanation, config, sender)
    else:
        _print_refusal(explanation, explanation.refusal)


def _print_contexts(explanation: "Explanation") -> None:
    """Print the answer to each presentation context that the sender would propose."""
    for context in explanation.contexts:
        verdict = "may" if context.allowed else "may not"
        style = _STYLES["pass" if context.allowed else "fail"]
        say(printable(f"  {verdict:<13}{context.name}" + (f": {context.why}" if context.why else "")), style)
    if explanation.move_refused:
        say(printable(f"  {'may not':<13}C-MOVE: {explanation.move_refused}"), _STYLES["fail"])


def _print_acceptance(explanation: "Explanation", config: "Config", sender: "SimulatedSender") -> None:
    from proxy.explain.upstreams import describe_upstream

    answer = explanation.to_dict(config)
    upstream = config.upstreams[answer["upstream"]]
    described = describe_upstream(upstream)
    partly = sender.asks and not explanation.everything_allowed
    verdict, style = ("accepted in part", "bold yellow") if partly else ("accepted", "bold green")
    say(printable(f"{verdict}: forwarded to upstream {upstream.name} ({described})"), style)
    if upstream.tls is not None:
        say(printable(f"  tls          {described.tls_in_words()}"))
    if answer["would_refuse"]:
        say(f"  only because of observe_until; then refused: {', '.join(answer['would_refuse'])}", "yellow")
    elif explanation.observing and not explanation.by_the_rules:
        say("  only because of observe_until: forbidden operations pass and are counted", "yellow")
    note("limits or the PACS may still refuse a real request; the access record then has the reason")


def _print_refusal(explanation: "Explanation", refusal: "Refuse") -> None:
    from proxy.observe.answers import describe_answer

    say(f"refused: {refusal.reason}", "bold red")
    say(printable(f"  why          {refusal.detail}"))
    say(f"  on the wire  {describe_answer(refusal.answer)}")
    say(printable(f"  to change    {explanation.advice}"))


def _explain_reason(word: str, format: Format) -> None:
    from proxy.config.nearest import did_you_mean
    from proxy.explain.refusals import describe_reason
    from proxy.policy import Reason

    if word not in list(Reason):
        near = did_you_mean(word, Reason) or f"; the reasons are:\n  {_columns([*Reason])}"
        raise CommandError(f"{printable(word)} is not a reason{near}")
    described = describe_reason(Reason(word))
    if format is Format.JSON:
        say_json(described.to_dict())
        return
    say(described.reason, "bold")
    say(f"  means        {described.meaning}")
    say(f"  on the wire  {described.answer}")
    say(f"  sender sees  {described.sender}")
    say(f"  check first  {described.check}")
    say(f"  to change    {described.change}")
    if described.observable:
        say("  observe      the tenant's observe_until lets it pass, and counts it as would_refuse")


def _columns(words: list[str], width: int = 100) -> str:
    import textwrap

    return "\n  ".join(textwrap.wrap(", ".join(words), width))
