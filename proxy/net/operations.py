"""DIMSE operations of a live association: the rules of its contexts from the decision, and the counts of commands."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

from proxy.dimse.command import C_STORE, MOVE_DESTINATION_UNKNOWN, NOT_AUTHORIZED, REQUESTS
from proxy.dimse.inspection import Inspection, RefusedCommand, Tally
from proxy.dimse.rules import ContextRules, context_rules
from proxy.dimse.services import ALL, Operation, classify
from proxy.observe.access import AccessRecord, InstanceCount, OperationCount
from proxy.observe.families import operation_label
from proxy.observe.metrics import Metrics
from proxy.pdu import AAssociateAC, AAssociateRQ, AsynchronousOperationsWindow, PresentationContextResult, RoleSelection
from proxy.pdu.reader import is_uid
from proxy.policy import Accept, Reason, move_allowed

_REASONS = {
    NOT_AUTHORIZED: Reason.OPERATION_NOT_ALLOWED,
    MOVE_DESTINATION_UNKNOWN: Reason.MOVE_DESTINATION_NOT_ALLOWED,
}
_MANY_CLASSES = frozenset({Operation.PRINT, Operation.UPS, Operation.MPPS, Operation.OTHER})
_NO_OPERATIONS: frozenset[str] = frozenset()
_LABELS = {field: operation_label(name) for field, name in REQUESTS.items()}


def reason_of(status: int) -> Reason:
    """Return the reason for a refusal with this DIMSE status (docs/refusals.md)."""
    return _REASONS[status]


def inspection_of(
    accept: Accept,
    request: AAssociateRQ,
    answer: AAssociateAC,
    accepted: Iterable[int],
    observed: Callable[[RefusedCommand], None],
) -> Inspection:
    """Return the rules for the accepted contexts, from the decision and the roles that both sides agreed on."""
    calling = request.calling.title
    syntaxes = {context.context_id: context.abstract_syntax for context in request.presentation_contexts}
    proposed = {role.sop_class_uid: role for role in request.user_information.role_selections}
    granted = {role.sop_class_uid: role for role in answer.user_information.role_selections}
    rules: dict[int, ContextRules] = {}
    for context_id in accepted:
        syntax = syntaxes[context_id]
        scu, scp = negotiated_roles(proposed.get(syntax), granted.get(syntax))
        if accept.scp_roles is not None and syntax not in accept.scp_roles:
            scp = False  # the proposal of this role was not forwarded
        rules[context_id] = _rules(accept, context_id, syntax, scu=scu, scp=scp)
    # Kept as long as the association: without the contexts that is 5 KiB less of 128, without the trace 1 KiB.
    lasting = replace(accept, contexts={}, trace=())
    return Inspection(
        rules,
        rules_of=partial(_rules_of, lasting, rules),
        may_move_to=lambda destination: move_allowed(lasting, destination, calling),
        observed=observed if accept.observing else None,
        clock=time.monotonic,
    )


def narrow(
    inspection: Inspection, accept: Accept, answered: Iterable[PresentationContextResult], calling_title: str
) -> None:
    """Restrict an established association to what a new decision on its request allows as well.

    `answered` are the contexts of the A-ASSOCIATE-AC. Nothing that was not negotiated becomes possible.
    """
    syntaxes = {context.context_id: context.transfer_syntax for context in answered}
    lasting = dict(accept.contexts)
    if accept.transfer_syntaxes is not None:
        # One transfer syntax was negotiated for each context. If the new policy does not list it, the context is lost.
        lasting = {
            context_id: sop_class
            for context_id, sop_class in lasting.items()
            if syntaxes.get(context_id) in accept.transfer_syntaxes
        }
    accept = replace(accept, contexts=lasting, trace=())
    rules = {  # for both roles: the first rules already leave out the roles that were not negotiated
        context_id: _rules(accept, context_id, first.abstract_syntax, scu=True, scp=True)
        for context_id, first in inspection.rules.items()
    }
    inspection.narrow(
        rules,
        rules_of=partial(_rules_of, accept, rules),
        may_move_to=lambda destination: move_allowed(accept, destination, calling_title),
        observing=accept.observing,
    )


def _rules(accept: Accept, context_id: int, syntax: str, *, scu: bool, scp: bool) -> ContextRules:
    if (sop_class := accept.contexts.get(context_id)) is not None:
        operations = accept.operations
    else:  # the policy cuts this context, but the tenant is observed, or the policy before a reload kept it
        sop_class, operations = classify(syntax, accept.tenant.sop_class_table), _NO_OPERATIONS
    return context_rules(sop_class, syntax, operations, requestor_scu=scu, requestor_scp=scp)


def _rules_of(accept: Accept, rules: Mapping[int, ContextRules], context_id: int, uid: str) -> ContextRules:
    """Return the rules for a command whose SOP class differs from that of its context. The context rules the roles.

    A meta SOP class of printing (PS3.4 annex H) and the classes of one service (UPS: PS3.4 annex CC) stand for others,
    which `sop_classes` need not list. A value that is not a UID is refused (invariant 9, docs/architecture.md): one
    parser takes it for no UID at all, another cuts it at the first NUL and reads the UID before it.
    """
    table, operations = accept.tenant.sop_class_table, accept.operations
    listed = accept.peer.sop_classes if accept.peer is not None else None
    sop_class = classify(uid, table)
    # A policy that restricts no class allows each: proprietary printing and UPS stay possible.
    if listed is not None or ALL not in operations:
        meant = classify(rules[context_id].abstract_syntax, table).operation
        stood_for = sop_class.operation is meant and meant in _MANY_CLASSES
        if not is_uid(uid.encode("latin-1")) or not (listed is None or uid in listed or stood_for):
            operations = _NO_OPERATIONS
    return context_rules(sop_class, uid, operations, requestor_scu=True, requestor_scp=True)


def negotiated_roles(proposed: RoleSelection | None, granted: RoleSelection | None) -> tuple[bool, bool]:
    """Return whether the requestor may be SCU, and SCP (PS3.7 section D.3.3.4): by default SCU alone."""
    if proposed is None or granted is None:
        return True, False
    return proposed.scu_role and granted.scu_role, proposed.scp_role and granted.scp_role


def is_asynchronous(window: AsynchronousOperationsWindow | None) -> bool:
    """Return whether requests may follow each other without a response between them (PS3.7 section D.3.3.3).

    A window of 0 allows any number.
    """
    return window is not None and (window.maximum_invoked != 1 or window.maximum_performed != 1)


def count_operations(tally: Tally, metrics: Metrics, tenant: str, record: AccessRecord) -> None:
    """Add a tally to the metrics and to the access record."""
    for (field, from_requestor), number in tally.requests.items():
        metrics.add("dimse_messages_total", (tenant, "in" if from_requestor else "out", _LABELS[field]), number)
        _of(record, field).requests += number
    for (field, kind), number in tally.responses.items():
        metrics.add("dimse_responses_total", (tenant, _LABELS[field], kind), number)
        counted = _of(record, field)
        if kind == "success":
            counted.ok += number
        elif kind == "warning":
            counted.warnings += number
        elif kind in ("failure", "cancel"):
            counted.failures += number
    for (field, status, observed), number in tally.refused.items():
        decision = "would_refuse" if observed else "refuse"
        metrics.add("dimse_refusals_total", (tenant, _LABELS[field], str(_REASONS[status]), decision), number)
        if not observed:
            _of(record, field).refused += number
    for field, seconds in tally.durations:
        metrics.observe("dimse_duration_seconds", (tenant, _LABELS[field]), seconds)
        _of(record, field).seconds += seconds
    for group, kind, size in tally.instances:
        metrics.add("instances_stored_total", (tenant, group, kind))
        metrics.add("instances_stored_bytes_total", (tenant, group), size)
        metrics.observe("instance_size_bytes", (tenant,), size)
        answered = record.instances.get(group) or record.instances.setdefault(group, InstanceCount())
        answered.number += 1
        answered.bytes += size


def stored(record: AccessRecord) -> int:
    """Return how many C-STORE requests were forwarded, up to the last flush."""
    counted = record.dimse.get(REQUESTS[C_STORE])
    return 0 if counted is None else counted.requests


def _of(record: AccessRecord, field: int) -> OperationCount:
    return record.dimse.setdefault(REQUESTS[field], OperationCount())
