"""What can go wrong with a company, apart from errors of the API."""

from invoicexpress_async.errors import InvoiceXpressError, OutcomeUnknownError


class AccountUnknownError(OutcomeUnknownError):
    """An account's create was sent, and its response, with the new key, was lost."""

    cure = (
        "It is never sent again. Look for the intent's e-mail and fiscal number among the "
        "partner's accounts. If the account is there, show or renew its key, put its name "
        "and key into the input (columns account and api_key), and run it again. If there is none "
        "for certain, run it again with forget=[fiscal number] (--forget)."
    )


class KeyLostError(InvoiceXpressError):
    """The account exists, and its key is lost: neither delivered nor in the spool."""

    cure = (
        "Have the key of the account shown or renewed in the provider's own pages, put the "
        "account's name and key into the input (columns account and api_key), and run it again."
    )


class KeyNeededError(InvoiceXpressError):
    """The account's key was delivered by an earlier run, and this run does not know where."""

    cure = (
        "Give keys=, an async callable that returns the key of an account, or a sink that can "
        "read back; or put name and key into the input (columns account and api_key)."
    )


class NameUnknownError(InvoiceXpressError):
    """The account's url is missing or of another host: its key was delivered, nothing is sent."""

    cure = (
        "Look the account's name up in the provider's own pages, put name and key into the input "
        "(columns account and api_key), and run it again."
    )


class SinkError(InvoiceXpressError):
    """The sink raised: the key is in the spool, and is delivered by the next run."""

    cure = "Fix the destination of the keys, and run the same again with the same spool."


class CredentialsUnknownError(InvoiceXpressError):
    """AT credentials were sent as often as allowed, and it is unknown whether they are set."""

    cure = (
        "Look in the account whether AT communication is configured: if so, run it again; if not, "
        "check the credentials at the tax authority, since repeated wrong ones lock the sub-user, "
        "and run it again with retry_refused=True (--retry-refused)."
    )


class SeriesWaitingError(InvoiceXpressError):
    """The first serie is planned in the shared journal, and no worker has done it yet."""

    cure = "Start a worker, or wait for it; the same run again looks whether it is done."


class CredentialsBusyError(InvoiceXpressError):
    """Another run that shares the journal is sending AT credentials to the account, or has."""

    cure = (
        "Let that run end, and run it again: it goes on from what the other one has written. After "
        "a run that was killed in a container, this may take an hour."
    )


class NotVerifiedError(InvoiceXpressError):
    """The last read did not show the sequence as it was created."""

    cure = "Run it again in some minutes: a list can lag behind. Nothing is created twice."
