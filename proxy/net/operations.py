"""DIMSE operations on the live path: from a decision to the rules of its contexts, and from commands to counts."""

import time
from collections.abc import Callable, Iterable

from proxy.dimse.command import C_STORE, MOVE_DESTINATION_UNKNOWN, NOT_AUTHORIZED, REQUESTS
from proxy.dimse.inspection import Inspection, RefusedCommand, Tally
from proxy.dimse.rules import ContextRules, context_rules
from proxy.dimse.services import classify
from proxy.observe.access import AccessRecord, OperationCount
from proxy.observe.families import operation_label
from proxy.observe.metrics import Metrics
from proxy.pdu import AAssociateAC, AAssociateRQ, AsynchronousOperationsWindow, RoleSelection
from proxy.policy import Accept, Reason, move_allowed

_REASONS = {
    NOT_AUTHORIZED: Reason.OPERATION_NOT_ALLOWED,
    MOVE_DESTINATION_UNKNOWN: Reason.MOVE_DESTINATION_NOT_ALLOWED,
}
_NO_OPERATIONS: frozenset[str] = frozenset()
_LABELS = {field: operation_label(name) for field, name in REQUESTS.items()}


def reason_of(status: int) -> Reason:
    """The refusal whose DIMSE status that is (design section 7)."""
    return _REASONS[status]


def inspection_of(
    accept: Accept,
    request: AAssociateRQ,
    answer: AAssociateAC,
    accepted: Iterable[int],
    observed: Callable[[RefusedCommand], None],
) -> Inspection:
    """What may pass on the accepted contexts, by the decision and by the roles that both sides agreed on."""
    syntaxes = {context.context_id: context.abstract_syntax for context in request.presentation_contexts}
    proposed = {role.sop_class_uid: role for role in request.user_information.role_selections}
    granted = {role.sop_class_uid: role for role in answer.user_information.role_selections}
    rules: dict[int, ContextRules] = {}
    for context_id in accepted:
        syntax = syntaxes[context_id]
        scu, scp = negotiated_roles(proposed.get(syntax), granted.get(syntax))
        if accept.scp_roles is not None and syntax not in accept.scp_roles:
            scp = False  # that proposal was not forwarded
        if (sop_class := accept.contexts.get(context_id)) is not None:
            operations = accept.operations
        else:  # the policy would have cut it; it is there because the tenant is only observed
            sop_class, operations = classify(syntax, accept.tenant.sop_class_table), _NO_OPERATIONS
        rules[context_id] = context_rules(sop_class, syntax, operations, requestor_scu=scu, requestor_scp=scp)
    calling = request.calling.title
    return Inspection(
        rules,
        may_move_to=lambda destination: move_allowed(accept, destination, calling),
        observed=observed if accept.observing else None,
        clock=time.monotonic,
    )


def negotiated_roles(proposed: RoleSelection | None, granted: RoleSelection | None) -> tuple[bool, bool]:
    """Whether the requestor may be SCU and SCP (PS3.7 section D.3.3.4): by default SCU alone."""
    if proposed is None or granted is None:
        return True, False
    return proposed.scu_role and granted.scu_role, proposed.scp_role and granted.scp_role


def is_asynchronous(window: AsynchronousOperationsWindow | None) -> bool:
    """Whether requests may follow each other without a response between them (PS3.7 section D.3.3.3; 0: any number)."""
    return window is not None and (window.maximum_invoked != 1 or window.maximum_performed != 1)


def count_operations(tally: Tally, metrics: Metrics, tenant: str, record: AccessRecord) -> None:
    """Add what was seen to the metrics and to the access record."""
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
    for group, kind, size in tally.instances:
        metrics.add("instances_stored_total", (tenant, group, kind))
        metrics.observe("instance_size_bytes", (tenant,), size)


def stored(record: AccessRecord) -> int:
    """C-STORE requests that passed, as far as they were counted."""
    counted = record.dimse.get(REQUESTS[C_STORE])
    return 0 if counted is None else counted.requests


def _of(record: AccessRecord, field: int) -> OperationCount:
    return record.dimse.setdefault(REQUESTS[field], OperationCount())
