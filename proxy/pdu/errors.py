"""Violations of PS3.8 by a peer, each with the A-ABORT that answers it.

Every message is safe to log: it holds no secret, and bytes of the peer only escaped.
"""

import enum
from typing import ClassVar


class AbortSource(enum.IntEnum):
    """Source of an A-ABORT (PS3.8 Table 9-26). The reason is significant for `SERVICE_PROVIDER` alone."""

    SERVICE_USER = 0
    SERVICE_PROVIDER = 2


class AbortReason(enum.IntEnum):
    """Reason/Diag. of an A-ABORT whose source is the service-provider (PS3.8 Table 9-26)."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNIZED_PDU_PARAMETER = 4
    UNEXPECTED_PDU_PARAMETER = 5
    INVALID_PDU_PARAMETER = 6


class PduError(Exception):
    """The peer broke PS3.8. The association ends with an A-ABORT."""

    abort_reason: ClassVar[AbortReason] = AbortReason.NOT_SPECIFIED


class UnrecognizedPdu(PduError):
    """The PDU type is not one of PS3.8 section 9.3.1."""

    abort_reason = AbortReason.UNRECOGNIZED_PDU


class UnexpectedPdu(PduError):
    """The state of the association does not allow this PDU (PS3.8 section 9.2)."""

    abort_reason = AbortReason.UNEXPECTED_PDU


class UnexpectedParameter(PduError):
    """A known item in a place where it does not belong."""

    abort_reason = AbortReason.UNEXPECTED_PDU_PARAMETER


class InvalidPduParameter(PduError):
    """A length or a value that the tables of PS3.8 and PS3.7 do not allow."""

    abort_reason = AbortReason.INVALID_PDU_PARAMETER


class PduTooLarge(InvalidPduParameter):
    """The PDU length field is above the configured limit; nothing of the body was awaited."""


class RequestAmbiguous(Exception):
    """Two reasonable parsers could read this A-ASSOCIATE-RQ differently (invariant 9, docs/architecture.md).

    Answered by RJ 1/1/1.
    """
