"""The values of the API: sequences, accounts, AT credentials, intents."""

from invoicexpress_async.models.account import (
    AccountDetails,
    CreatedAccount,
    Language,
    NewAccount,
    TaxCountry,
)
from invoicexpress_async.models.account_update import AccountUpdate
from invoicexpress_async.models.at_credentials import AtCredentials, CommunicationType
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.models.json_value import JsonValue
from invoicexpress_async.models.sequence import (
    DocumentSequenceState,
    DocumentType,
    Ensured,
    Registration,
    Sequence,
    Via,
    restore_sequence,
)

_restore_sequence = restore_sequence  # the name in pickles of 0.1.0

__all__ = [
    "AccountDetails",
    "AccountUpdate",
    "AtCredentials",
    "CommunicationType",
    "CreatedAccount",
    "DocumentSequenceState",
    "DocumentType",
    "Ensured",
    "Intent",
    "JsonValue",
    "Language",
    "NewAccount",
    "Registration",
    "Sequence",
    "TaxCountry",
    "Via",
]
