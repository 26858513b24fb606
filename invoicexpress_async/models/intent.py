"""What is stored about a request whose outcome is unknown."""

from typing import Literal, NotRequired, TypedDict


class Intent(TypedDict):
    """A request whose outcome is not known: plain data for `SequenceService.resume`.

    It survives `json.dumps`, holds no secret, and may be resumed in another process.

    Attributes:
        version: Of this layout, 1.
        operation: "create", "register", or "create_account", which cannot be resumed by reading.
        account: The account's name.
        serie: The name of the sequence, as it was sent; None for a register.
        sequence_id: The id of the sequence to register; None for a create.
        is_default: Whether the sequence was to become the default.
        had_sequences: Whether a list before the send was non-empty; None when there was none.
        email: Of the account to create: what to look for.
        organization_name: Of the account to create for an existing user, who may have many.
        fiscal_id: Of the account to create, when it was given.
        sent_at: Wall-clock seconds since the epoch of the send, for people and for
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
