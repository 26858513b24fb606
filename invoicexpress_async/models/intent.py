"""`Intent`: the data that is stored about a request whose outcome is unknown."""

from typing import Literal, NotRequired, TypedDict


class Intent(TypedDict):
    """A request whose outcome is unknown, as plain data for `SequenceService.resume`.

    It survives `json.dumps`, contains no secret, and may be resumed in another process.

    Attributes:
        version: The version of this layout, 1.
        operation: "create", "register", or "create_account", which cannot be resumed by reading.
        account: The account's name.
        serie: The name of the sequence, as it was sent; None for a register.
        sequence_id: The id of the sequence to register; None for a create.
        is_default: Whether the sequence was to become the default.
        had_sequences: Whether a list before the send was non-empty; None without such a list.
        email: The e-mail of the account to create, by which to look for it.
        organization_name: The company of the account to create, for an existing user only, who may
            have many accounts.
        fiscal_id: The fiscal number of the account to create, when it was given.
        sent_at: The wall-clock time of the send in seconds since the epoch, for people and for
            `resend_absent_after`.
    """

    version: Literal[1]
    operation: Literal["create", "register", "create_account"]
    account: str
    serie: str | None
    sequence_id: int | None
    is_default: bool
    had_sequences: bool | None
    sent_at: float
    email: NotRequired[str]
    organization_name: NotRequired[str]
    fiscal_id: NotRequired[str]
