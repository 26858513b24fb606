"""The settings of the user, checked before any network: nothing here does I/O."""

from invoicexpress_async.config.addresses import account_name_in
from invoicexpress_async.config.connection_limit import (
    OTHER_FILES,
    default_max_connections,
    open_files_limit,
)
from invoicexpress_async.config.serie_names import canonical, fold, invisible_in
from invoicexpress_async.config.settings import (
    ACCOUNT_VARIABLE,
    API_KEY_VARIABLE,
    BASE_URL_VARIABLE,
    DEFAULT_BASE_URL,
    MAX_CONNECTIONS_VARIABLE,
    PROXY_VARIABLE,
    TIMEOUT_VARIABLE,
    BaseUrl,
    Secret,
    Timeouts,
    check_account_name,
    check_api_key,
    check_id,
    check_new_serie,
    check_path,
    check_seconds,
    check_serie,
    check_type,
    proxy_problem,
)

__all__ = [
    "ACCOUNT_VARIABLE",
    "API_KEY_VARIABLE",
    "BASE_URL_VARIABLE",
    "DEFAULT_BASE_URL",
    "MAX_CONNECTIONS_VARIABLE",
    "OTHER_FILES",
    "PROXY_VARIABLE",
    "TIMEOUT_VARIABLE",
    "BaseUrl",
    "Secret",
    "Timeouts",
    "account_name_in",
    "canonical",
    "check_account_name",
    "check_api_key",
    "check_id",
    "check_new_serie",
    "check_path",
    "check_seconds",
    "check_serie",
    "check_type",
    "default_max_connections",
    "fold",
    "invisible_in",
    "open_files_limit",
    "proxy_problem",
]
