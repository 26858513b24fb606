"""The cures for errors of account operations: one status has another cure in each operation.

The operation, the status and the code decide, because the server's texts are localised.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

from invoicexpress_async import errors
from invoicexpress_async.protocol.decision import is_refusal

_Cures: TypeAlias = tuple[tuple[tuple[type[errors.InvoiceXpressError] | int, ...], str], ...]
"""Cures by error class or status; the first match applies."""


class RepeatedCredentialsError(errors.ConfigurationError):
    """The server refused these AT credentials before. Nothing was sent.

    Each wrong attempt counts at the tax authority, and repeated ones may lock the sub-user.
    """

    cure = (
        "Correct the sub-user or its password. If the server refused them for "
        "another cause, such as a trial, and it is gone, call with resend_refused=True."
    )


_OUTCOME_UNKNOWN: Final = (
    "Do not send it again: the account may exist, it cannot be deleted, and its key was in the "
    "lost response only. Look for error.intent's e-mail and fiscal number among the partner's "
    "accounts, and show or renew the key there; if there is certainly none, call "
    "accounts.forget(error.intent)."
)
_PARTNER_RIGHTS: Final = (
    "Creating accounts is a partner's right: have the provider give it to this account, and "
    "check that name and key are the partner's own."
)
_USED_ALREADY: Final = (
    "The e-mail or the fiscal number may be used already: look for the company's account before "
    "anything else, as two for one fiscal number split its numbering for good. A user who exists "
    "gets a further account with create_for_existing_user(). A key that is no partner's may be "
    "refused so, too. Else correct the input."
)
_USER_OR_KEY: Final = (
    "Two things are checked here: the partner's name, key and right to create accounts, and the "
    "user's own e-mail and password, which are in the NewAccount. Check the password first; a "
    "user who does not exist yet needs create()."
)
_WRONG_USER: Final = (
    "The e-mail or the password of the user, as the NewAccount has them, is wrong: correct them. A "
    "user who does not exist yet needs create()."
)
_USER_OR_USED: Final = (
    "Check the user's own e-mail and password, which this operation verifies, and whether the "
    "fiscal number has an account already: two of one number split its numbering for good."
)
_NOT_YOURS: Final = (
    "Check the id: an account that exists and was not created with this key gets 404 too."
)
_TRIAL_OR_KEY: Final = (
    "Call it on the new account's own handle, with its own name and key, not the partner's. A "
    "trial cannot communicate with the tax authority: that starts with a paid plan."
)
_WRONG_CREDENTIALS: Final = (
    "Check the sub-user and its password at the tax authority, and its right to communicate "
    "series. Do not send the same ones again: repeated wrong ones may lock the sub-user."
)
_WRONG_FIELDS: Final = (
    "Correct what error.messages names. If AT credentials were among it, do not send the same "
    "ones again unless they are right for certain: wrong ones may lock the sub-user."
)
_AT_UNKNOWN: Final = (
    "They may be set, and if they are wrong each attempt counts towards locking the sub-user: "
    "look at at_configured of the partner's accounts.get() before sending them again."
)
_UPDATE_UNKNOWN: Final = (
    "Some of it may be changed: read the account, or send the same values again, which does no "
    "harm, except wrong credentials."
)

_BAD_REQUEST: Final = 400  # for a wrong user or password (contract, [live])

_CREATE: Final[_Cures] = (
    ((errors.OutcomeUnknownError,), _OUTCOME_UNKNOWN),
    (
        (errors.AuthenticationError, errors.PermissionDeniedError, errors.NotFoundError),
        _PARTNER_RIGHTS,
    ),
    ((errors.UnprocessableError, errors.ConflictError), _USED_ALREADY),
)
_CREATE_FOR_EXISTING_USER: Final[_Cures] = (
    ((errors.OutcomeUnknownError,), _OUTCOME_UNKNOWN),
    ((_BAD_REQUEST,), _WRONG_USER),
    (
        (errors.AuthenticationError, errors.PermissionDeniedError, errors.NotFoundError),
        _USER_OR_KEY,
    ),
    ((errors.UnprocessableError, errors.ConflictError), _USER_OR_USED),
)
_GET: Final[_Cures] = (((errors.NotFoundError,), _NOT_YOURS),)
_UPDATE: Final[_Cures] = (
    ((errors.NotFoundError,), _NOT_YOURS),
    ((errors.UnprocessableError,), _WRONG_FIELDS),
)
_CONFIGURE: Final[_Cures] = (
    (
        (errors.AuthenticationError, errors.PermissionDeniedError, errors.NotFoundError),
        _TRIAL_OR_KEY,
    ),
    ((errors.StatusError,), _WRONG_CREDENTIALS),
)
_CURES: Final[Mapping[str, _Cures]] = {
    "create_account": _CREATE,
    "create_account_for_existing_user": _CREATE_FOR_EXISTING_USER,
    "get_account": _GET,
    "update_account": _UPDATE,
    "configure_at_communication": _CONFIGURE,
}
_UNKNOWN_CURES: Final[Mapping[str, str]] = {
    "update_account": _UPDATE_UNKNOWN,
    "configure_at_communication": _AT_UNKNOWN,
}


def set_cure(error: errors.InvoiceXpressError) -> None:
    """Set the cure of an error to the cure for its account operation."""
    operation = error.operation or ""
    if error.may_have_been_processed and operation in _UNKNOWN_CURES and not is_refusal(error):
        error.cure = _UNKNOWN_CURES[operation]
        return
    if isinstance(error, errors.ServerError | errors.RateLimitedError):
        return
    for kinds, cure in _CURES.get(operation, ()):
        if any(_is_of(error, kind) for kind in kinds):
            error.cure = cure
            return


def _is_of(error: errors.InvoiceXpressError, kind: type[errors.InvoiceXpressError] | int) -> bool:
    if isinstance(kind, int):
        return isinstance(error, errors.StatusError) and error.status == kind
    return isinstance(error, kind)
