"""The error class of each refusal: the meaning of a code depends on the operation.

The same code has different meanings on create and on register (the provider's OpenAPI
description, version 2.0.0). A class chosen by status and code alone would give a wrong cure, such
as "choose another name" for wrong tax-authority credentials.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

from invoicexpress_async import errors
from invoicexpress_async.protocol.decision import Operation

_Codes: TypeAlias = Mapping[tuple[int, str], type[errors.StatusError]]

_OF_CREATE: Final[_Codes] = {
    (409, "006"): errors.SequenceBeingRegisteredError,
    (409, "007"): errors.SequenceAlreadyRegisteredError,
    (422, "001"): errors.SequenceNameNotAllowedError,
    (422, "002"): errors.SequenceAlreadyExistsError,
    (422, "003"): errors.InvalidSequenceError,
    (422, "004"): errors.TaxAuthorityCredentialsError,
    (422, "005"): errors.NoOpenActivityError,
}
_OF_REGISTER: Final[_Codes] = {
    (404, "006"): errors.NotFoundError,
    (409, "005"): errors.SequenceAlreadyRegisteredError,
    (409, "006"): errors.SequenceBeingRegisteredError,  # known from older clients
    (409, "007"): errors.SequenceAlreadyRegisteredError,  # known from older clients
    (409, "008"): errors.SequenceBeingRegisteredError,
    (422, "001"): errors.SequenceNameNotAllowedError,
    (422, "002"): errors.TaxAuthorityCredentialsError,
    (422, "003"): errors.NoOpenActivityError,
    (422, "004"): errors.AccountNotPortugueseError,
    (422, "007"): errors.SequenceAlreadyRegisteredError,
}
# "Unknown error" is documented for create and register. It would prove as little for any other
# operation, and must not be taken for a refusal there either.
_OF_ANY: Final[_Codes] = {(422, "000"): errors.UnknownSequenceError}
_BY_OPERATION: Final[Mapping[Operation, _Codes]] = {
    Operation.CREATE: {**_OF_CREATE, **_OF_ANY},
    Operation.REGISTER: {**_OF_REGISTER, **_OF_ANY},
}
_BY_STATUS: Final[Mapping[int, type[errors.StatusError]]] = {
    401: errors.AuthenticationError,
    403: errors.PermissionDeniedError,
    404: errors.NotFoundError,
    409: errors.ConflictError,
    422: errors.UnprocessableError,
    429: errors.RateLimitedError,
}
_FIRST_SERVER_ERROR: Final = 500

KNOWN_CODES: Final = frozenset(code for _, code in (*_OF_CREATE, *_OF_REGISTER, *_OF_ANY))
"""The codes that the provider documents; the set is open."""

_REGISTER_AGAIN: Final = "Then register the sequence again: it is as it was before."
# The cures for a register, where the cure of the class helps only for a create.
_CURES_OF_REGISTER: Final[Mapping[type[errors.StatusError], str]] = {
    errors.SequenceNameNotAllowedError: (
        "A sequence cannot be renamed: create another one, with a name of at most 35 characters "
        "and without spaces."
    ),
    errors.TaxAuthorityCredentialsError: (
        "Set the AT sub-user and password of the account, once: in its settings at InvoiceXpress, "
        "or with accounts.configure_at_communication(). Do not repeat wrong ones, they may lock "
        f"the sub-user. {_REGISTER_AGAIN}"
    ),
    errors.NoOpenActivityError: (
        f"Have the activity opened at the tax authority first. {_REGISTER_AGAIN}"
    ),
    errors.UnknownSequenceError: "Read the sequence before anything else: it may be registered.",
}


def status_error_class(
    operation: Operation, status: int, code: str | None
) -> type[errors.StatusError]:
    """Return the error class of a refusal, by its operation, status and code only."""
    if code is not None:
        meaning = _BY_OPERATION.get(operation, _OF_ANY).get((status, code))
        if meaning is not None:
            return meaning
    if status >= _FIRST_SERVER_ERROR:
        return errors.ServerError
    return _BY_STATUS.get(status, errors.StatusError)


def cure_in(operation: Operation, kind: type[errors.StatusError]) -> str:
    """Return the cure for a refusal of this class in an operation."""
    cures = _CURES_OF_REGISTER if operation is Operation.REGISTER else {}
    return cures.get(kind, kind.cure)
