# The names of __init__.py, for type checkers.

from invoicexpress_async.call.context import (
    CallCounters as CallCounters,
)
from invoicexpress_async.call.limiter import (
    RateLimit as RateLimit,
)
from invoicexpress_async.config import (
    Secret as Secret,
)
from invoicexpress_async.config import (
    Timeouts as Timeouts,
)
from invoicexpress_async.errors import (
    AccountNotPortugueseError as AccountNotPortugueseError,
)
from invoicexpress_async.errors import (
    AuthenticationError as AuthenticationError,
)
from invoicexpress_async.errors import (
    ConfigurationError as ConfigurationError,
)
from invoicexpress_async.errors import (
    ConflictError as ConflictError,
)
from invoicexpress_async.errors import (
    ConnectionFailedError as ConnectionFailedError,
)
from invoicexpress_async.errors import (
    DeadlineExceededError as DeadlineExceededError,
)
from invoicexpress_async.errors import (
    DefaultChangedError as DefaultChangedError,
)
from invoicexpress_async.errors import (
    InvalidSequenceError as InvalidSequenceError,
)
from invoicexpress_async.errors import (
    InvoiceXpressError as InvoiceXpressError,
)
from invoicexpress_async.errors import (
    MalformedResponseError as MalformedResponseError,
)
from invoicexpress_async.errors import (
    NoOpenActivityError as NoOpenActivityError,
)
from invoicexpress_async.errors import (
    NotFoundError as NotFoundError,
)
from invoicexpress_async.errors import (
    OutcomeUnknownError as OutcomeUnknownError,
)
from invoicexpress_async.errors import (
    PartialRegistrationError as PartialRegistrationError,
)
from invoicexpress_async.errors import (
    PermissionDeniedError as PermissionDeniedError,
)
from invoicexpress_async.errors import (
    RateLimitedError as RateLimitedError,
)
from invoicexpress_async.errors import (
    SequenceAlreadyExistsError as SequenceAlreadyExistsError,
)
from invoicexpress_async.errors import (
    SequenceAlreadyRegisteredError as SequenceAlreadyRegisteredError,
)
from invoicexpress_async.errors import (
    SequenceBeingRegisteredError as SequenceBeingRegisteredError,
)
from invoicexpress_async.errors import (
    SequenceNameNotAllowedError as SequenceNameNotAllowedError,
)
from invoicexpress_async.errors import (
    ServerError as ServerError,
)
from invoicexpress_async.errors import (
    SessionClosedError as SessionClosedError,
)
from invoicexpress_async.errors import (
    StatusError as StatusError,
)
from invoicexpress_async.errors import (
    TaxAuthorityCredentialsError as TaxAuthorityCredentialsError,
)
from invoicexpress_async.errors import (
    TransportError as TransportError,
)
from invoicexpress_async.errors import (
    UnexpectedRedirectError as UnexpectedRedirectError,
)
from invoicexpress_async.errors import (
    UnknownSequenceError as UnknownSequenceError,
)
from invoicexpress_async.errors import (
    UnprocessableError as UnprocessableError,
)
from invoicexpress_async.errors import (
    UntrustedConnectionError as UntrustedConnectionError,
)
from invoicexpress_async.models import (
    AccountDetails as AccountDetails,
)
from invoicexpress_async.models import (
    AccountUpdate as AccountUpdate,
)
from invoicexpress_async.models import (
    AtCredentials as AtCredentials,
)
from invoicexpress_async.models import (
    CommunicationType as CommunicationType,
)
from invoicexpress_async.models import (
    CreatedAccount as CreatedAccount,
)
from invoicexpress_async.models import (
    DocumentSequenceState as DocumentSequenceState,
)
from invoicexpress_async.models import (
    DocumentType as DocumentType,
)
from invoicexpress_async.models import (
    Ensured as Ensured,
)
from invoicexpress_async.models import (
    Intent as Intent,
)
from invoicexpress_async.models import (
    Language as Language,
)
from invoicexpress_async.models import (
    NewAccount as NewAccount,
)
from invoicexpress_async.models import (
    Registration as Registration,
)
from invoicexpress_async.models import (
    Sequence as Sequence,
)
from invoicexpress_async.models import (
    TaxCountry as TaxCountry,
)
from invoicexpress_async.models import (
    Via as Via,
)
from invoicexpress_async.protocol.decision import (
    RetryPolicy as RetryPolicy,
)
from invoicexpress_async.services.account_errors import (
    RepeatedCredentialsError as RepeatedCredentialsError,
)
from invoicexpress_async.services.account_session import (
    AccountSession as AccountSession,
)
from invoicexpress_async.services.accounts import (
    AccountService as AccountService,
)
from invoicexpress_async.services.sequences import (
    SequenceService as SequenceService,
)
from invoicexpress_async.session import (
    Health as Health,
)
from invoicexpress_async.session import (
    SessionManager as SessionManager,
)
