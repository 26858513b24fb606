"""The default limit of a manager's connections."""

from typing import Final

# Enough for hundreds of accounts to keep their connections; 1,000 over TLS take under 150 MB.
_MAX_CONNECTIONS: Final = 1_000
_MIN_CONNECTIONS: Final = 16
# The files of the interpreter, a journal, a log, and whatever else the program has open.
OTHER_FILES: Final = 64


def open_files_limit() -> int | None:
    """Return how many files this process may have open; None when there is no known limit."""
    try:
        import resource  # noqa: PLC0415  # not on Windows
    except ImportError:
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if limit == resource.RLIM_INFINITY else limit


def default_max_connections() -> int:
    """Return 1,000, or fewer where the system allows fewer open files."""
    limit = open_files_limit()
    if limit is None:
        return _MAX_CONNECTIONS
    return max(_MIN_CONNECTIONS, min(_MAX_CONNECTIONS, limit - OTHER_FILES))
