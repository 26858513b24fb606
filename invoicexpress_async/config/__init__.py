"""The settings of the user, checked before any network: nothing here does I/O."""

from invoicexpress_async.config.serie_names import canonical, fold, invisible_in
from invoicexpress_async.config.settings import (
    ACCOUNT_VARIABLE,
    API_KEY_VARIABLE,
    BASE_URL_VARIABLE,
    DEFAULT_BASE_URL,
    MAX_CONNECTIONS_VARIABLE,
    TIMEOUT_VARIABLE,
    BaseUrl,
    Secret,
    Timeouts,
    check_account_name,
    check_api_key,
    check_id,
    check_path,
    check_seconds,
    check_serie,
    check_type,
)

__all__ = [
    "ACCOUNT_VARIABLE",
    "API_KEY_VARIABLE",
    "BASE_URL_VARIABLE",
    "DEFAULT_BASE_URL",
    "MAX_CONNECTIONS_VARIABLE",
    "TIMEOUT_VARIABLE",
    "BaseUrl",
    "Secret",
    "Timeouts",
    "canonical",
    "check_account_name",
    "check_api_key",
    "check_id",
    "check_path",
    "check_seconds",
    "check_serie",
    "check_type",
    "fold",
    "invisible_in",
]
