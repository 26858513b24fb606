"""From options to a manager and an account."""

import getpass
import math
import os
import stat
import sys
from pathlib import Path

import attrs

from invoicexpress_async import SessionManager, Timeouts
from invoicexpress_async.cli.options import ConnectionOptions
from invoicexpress_async.config import (
    API_KEY_VARIABLE,
    BASE_URL_VARIABLE,
    DEFAULT_BASE_URL,
    BaseUrl,
    Secret,
    check_api_key,
)
from invoicexpress_async.errors import ConfigurationError

_MOST_KEY_CHARACTERS = 4096  # a key file has one short line; another file is here by mistake


def base_url_of(options: ConnectionOptions) -> BaseUrl:
    """Return the address that the options and the environment give.

    Raises:
        ConfigurationError: it cannot be right.
    """
    given = options.base_url or os.environ.get(BASE_URL_VARIABLE)
    return BaseUrl.parse(given or DEFAULT_BASE_URL)


def is_this_machine(base_url: BaseUrl) -> bool:
    """Whether it is a sandbox's: plain http is taken for this machine only."""
    return base_url.template.startswith("http://")


def open_manager(options: ConnectionOptions) -> SessionManager:
    """Return a manager that is set up by the options.

    Raises:
        ConfigurationError: an option that cannot be right.
    """
    timeouts = Timeouts()
    if options.timeout is not None:
        if not (math.isfinite(options.timeout) and options.timeout > 0):
            raise ConfigurationError(f"--timeout is {options.timeout:g}: give seconds above 0.")
        timeouts = attrs.evolve(timeouts, total_seconds=options.timeout)
    return SessionManager(base_url=base_url_of(options).template, timeouts=timeouts)


def read_key(api_key_file: Path | None) -> Secret:
    """Return the key: from the file, else the environment, else asked for on a terminal.

    Raises:
        ConfigurationError: there is none, or it cannot be one.
    """
    if api_key_file is not None:
        return check_api_key(_from_file(api_key_file))
    if os.environ.get(API_KEY_VARIABLE):
        return check_api_key(Secret(os.environ[API_KEY_VARIABLE]))
    if sys.stdin.isatty():
        return check_api_key(Secret(_asked_for()))
    raise ConfigurationError(
        f"No API key: set {API_KEY_VARIABLE}, or name a file that holds it with --api-key-file."
    )


def _asked_for() -> str:
    try:
        return getpass.getpass("API key (not shown): ").strip()
    except KeyboardInterrupt:
        sys.stderr.write("\nNothing was sent. ")
        raise
    except EOFError:
        return ""


def _from_file(path: Path) -> Secret:
    problem = ""
    try:
        with path.open(encoding="utf-8-sig") as file:
            if os.name == "posix":
                _warn_if_open(path, os.fstat(file.fileno()).st_mode)
            return Secret(file.read(_MOST_KEY_CHARACTERS).strip())
    except OSError as error:
        problem = str(error.strerror)
    except UnicodeError:
        problem = "it is not text"
    raise ConfigurationError(f"The key file {path} cannot be read: {problem}.")


def _warn_if_open(path: Path, mode: int) -> None:
    if stat.S_ISREG(mode) and mode & (stat.S_IRGRP | stat.S_IROTH):
        sys.stderr.write(f"warning: others can read {path}; run: chmod 600 {path}\n")
