"""`dicomgate check`: all findings, and the effective settings of each listener and upstream.

`--format json` has a stable shape:

    {config, ok, errors, warnings,
     findings: [{code, severity, where, path, message}],
     listeners: [{name, where, bind: [...], networks: "any" | [...],
                  proxy_protocol: null | {versions: [...], trusted: [...]}, default_tenant,
                  tls: null | {profile, section, retired, client_auth, ca: [...], ca_files: [...], pinned, revocation,
                               missing_suites: [...],
                               certificates: [{file, dns: [...], key, not_after}]},
                  tenants: [{name, where, server_names: [...], networks, called_aets: "any" | [...], profile,
                             client_auth, revocation: null | {...}, rewrite_called_aet,
                             peers: [{name, where, aet: [...], action, operations: [...], sop_classes: "any" | [...],
                                      transfer_syntaxes, move_destinations, may}]}],
                  sni: [{server_name, sender, result, tenant, client_auth, alert, answer}],
                  notes: [...]}],
     upstreams: [{name, where, servers: [...], balance, weights: [...], backups: [...],
                  source_address, send_proxy_protocol, notes: [...],
                  health_check: null | {type, interval, timeout, rise, fall, calling_aet, called_aet},
                  tls: null | {profile, section, retired, server_names: [...], verify_name, ca,
                               certificate: null | {file, dns: [...], key, not_after}}}]}

`revocation`: {crls: [{file, issuer, revoked, next_update}], crl_expired, revoked: [fingerprints]}; null for a tenant of
a plaintext listener. `sender`: the clients of a row, by their SNI: known, unknown or none; or any, if no tenant has a
server name. `listeners` and `upstreams` are empty if the configuration has errors.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from proxy.cli.loading import ConfigOption, load_with_findings
from proxy.cli.output import NO, USAGE, Format, FormatOption, say, say_json
from proxy.config.quoting import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.config.findings import Finding
    from proxy.explain.listeners import EffectiveListener, EffectiveListenerTls, EffectiveRevocation, EffectiveTenant
    from proxy.explain.upstreams import EffectiveUpstream

_STYLES = {"error": "bold red", "warning": "yellow", "info": ""}


def command(
    config: ConfigOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 on warnings.")] = False,
    format: FormatOption = Format.TEXT,
) -> None:
    """Check the configuration and print its effect. Exit code: 0 good, 1 warnings with --strict, 2 errors."""
    from proxy.explain.listeners import describe_listeners, try_tls
    from proxy.explain.upstreams import describe_upstreams

    path, loaded = load_with_findings(config)
    findings, listeners, upstreams = list(loaded.findings), list["EffectiveListener"](), list["EffectiveUpstream"]()
    if loaded.config is not None:
        findings += try_tls(loaded.config)
        listeners, upstreams = describe_listeners(loaded.config), describe_upstreams(loaded.config)
    errors = sum(finding.severity == "error" for finding in findings)
    warnings = sum(finding.severity == "warning" for finding in findings)
    if format is Format.JSON:
        report = {
            "config": str(path),
            "ok": not errors,
            "errors": errors,
            "warnings": warnings,
            "findings": [finding.to_dict() for finding in findings],
            "listeners": [listener.to_dict() for listener in listeners],
            "upstreams": [upstream.to_dict() for upstream in upstreams],
        }
        say_json(report)
    else:
        _print_findings(findings)
        for listener in listeners:
            _print_listener(listener)
        for upstream in upstreams:
            _print_upstream(upstream)
        _print_totals(errors, warnings)
        if not loaded.complete:
            say("correct these first; names, files and certificates are checked then")
    if errors:
        raise typer.Exit(USAGE)
    if warnings and strict:
        raise typer.Exit(NO)


def _print_findings(findings: "list[Finding]") -> None:
    for finding in findings:
        say(printable(f"{finding} [{finding.code}]"), _STYLES[finding.severity])
    if findings:
        say()


def _print_listener(listener: "EffectiveListener") -> None:
    where = f"  [{listener.where}]" if listener.where else ""
    say(f"listener {listener.name} on {', '.join(listener.bind)}{where}", "bold")
    _row("networks", _listed(listener.networks))
    proxied = listener.proxy_protocol
    if proxied is not None:
        _row("PROXY header", f"{' or '.join(proxied.versions)} from {_listed(proxied.trusted)}; others are refused")
    tls = listener.tls
    if tls is None:
        _row("tls", "none: plaintext", "yellow")
    else:
        retired = ", retired" if tls.retired else ""
        _row("tls", f"{tls.profile} (PS3.15 {tls.section}{retired}), client certificate {_client_auth(tls)}")
        for certificate in tls.certificates:
            names = ", ".join(certificate.dns) or "no DNS name"
            _row("certificate", f"{certificate.file}: {names}, {certificate.key}, until {certificate.not_after[:10]}")
        _print_revocation(tls.revocation)
    _row("default tenant", listener.default_tenant or "none")
    for tenant in listener.tenants:
        _print_tenant(tenant, tls)
    if listener.sni:
        say("  a client that asks for the server name")
    for row in listener.sni:
        asked = row.server_name or {"unknown": "(any other)", "none": "(none)"}.get(row.sender, "(any or none)")
        say(printable(f"    {asked:<27} gets {row.answer}"))
    for text in listener.notes:
        _row("note", text)
    say()


def _print_tenant(tenant: "EffectiveTenant", tls: "EffectiveListenerTls | None") -> None:
    names = ", ".join(tenant.server_names) or "no server name"
    titles = f"called AE titles {_listed(tenant.called_aets)}"
    _row(f"tenant {tenant.name}", f"{names}; networks {_listed(tenant.networks)}; {titles}")
    if tls is not None:
        _row("", f"{tenant.profile}, client certificate {tenant.client_auth}")
    if tls is not None and tenant.revocation is not None and tenant.revocation != tls.revocation:
        _print_revocation(tenant.revocation)
    if tenant.rewrite_called_aet is not None:
        _row("", f"called AE title sent to the upstream: {tenant.rewrite_called_aet}")
    for peer in tenant.peers:
        _row(f"  peer {peer.name}", f"may {peer.may}" if peer.action == "accept" else "is refused")


def _print_revocation(revocation: "EffectiveRevocation") -> None:
    past = "every certificate of this CA is refused" if revocation.crl_expired == "refuse" else "still used"
    for crl in revocation.crls:
        until = f"until {crl.next_update[:10]}, then {past}" if crl.next_update else "without a nextUpdate"
        _row("CRL", f"{crl.file}: {crl.issuer}, {crl.revoked} revoked, {until} (crl_expired: {revocation.crl_expired})")
    if revocation.revoked:
        _row(
            "revoked",
            f"{len(revocation.revoked)} by fingerprint: {', '.join(f[:16] + '…' for f in revocation.revoked)}",
        )


def _print_upstream(upstream: "EffectiveUpstream") -> None:
    where = f"  [{upstream.where}]" if upstream.where else ""
    say(printable(f"upstream {upstream.name} at {upstream}{where}"), "bold")
    _row("tls", upstream.tls_in_words(), "" if upstream.tls else "yellow")
    _row("health", upstream.check_in_words())
    if upstream.tls is not None and upstream.tls.certificate is not None:
        own = upstream.tls.certificate
        _row("certificate", f"{own.file}: {own.key}, until {own.not_after[:10]}")
    for text in upstream.notes:
        _row("note", text)
    say()


def _row(label: str, text: str, style: str = "") -> None:
    say(printable(f"  {label:<17} {text}"), style)


def _client_auth(tls: "EffectiveListenerTls") -> str:
    trusted = [f"{name} ({file})" for name, file in zip(tls.ca, tls.ca_files, strict=True)]
    if tls.pinned:
        trusted.append(f"{tls.pinned} pinned")
    return tls.client_auth + (f", trusted: {', '.join(trusted)}" if trusted else "")


def _listed(values: "Sequence[str] | str") -> str:
    return values if isinstance(values, str) else ", ".join(values)


def _print_totals(errors: int, warnings: int) -> None:
    def counted(count: int, word: str) -> str:
        return f"{count} {word}{'' if count == 1 else 's'}"

    style = "bold red" if errors else "yellow" if warnings else "green"
    say(f"{counted(errors, 'error')}, {counted(warnings, 'warning')}", style)
