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
from invoicexpress_async.errors import *  # noqa: F403  # its list is the one list of errors
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
