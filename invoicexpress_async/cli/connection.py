"""Turns options into a manager, a key and a call; asks before a step that cannot be undone."""

import asyncio
import getpass
import math
import os
import stat
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Final, TypeVar

import attrs

from invoicexpress_async import AccountSession, SessionManager, Timeouts
from invoicexpress_async.cli.failures import show_intent
from invoicexpress_async.cli.options import (
    AccountOptions,
    ConnectionOptions,
    JobOptions,
    PartnerOptions,
    journal_at,
)
from invoicexpress_async.cli.shell import printable
from invoicexpress_async.cli.signals import plain_interrupts, run_until_signal
from invoicexpress_async.cli.words import Language, word
from invoicexpress_async.config import (
    ACCOUNT_VARIABLE,
    API_KEY_VARIABLE,
    BASE_URL_VARIABLE,
    DEFAULT_BASE_URL,
    BaseUrl,
    Secret,
    check_account_name,
    check_api_key,
)
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.jobs.journal import Journal

_MAX_KEY_CHARACTERS = 4096  # a key file has one short line; a longer file is a mistake

_READ_BY_OTHERS: Final = stat.S_IRGRP | stat.S_IROTH
_YES: Final = frozenset({"y", "yes", "s", "sim"})
_GO_ON: Final = "This cannot be undone. Go on?"
_NOTHING_SENT: Final = "Nothing was sent."
T = TypeVar("T")


def base_url_of(options: ConnectionOptions) -> BaseUrl:
    """Return the base URL from the options, else the environment, else the default."""
    given = options.base_url or os.environ.get(BASE_URL_VARIABLE)
    return BaseUrl.parse(given or DEFAULT_BASE_URL)


def is_this_machine(base_url: BaseUrl) -> bool:
    """Whether the URL is of this machine, as a sandbox's: plain http is allowed for no other."""
    return base_url.template.startswith("http://")


def open_manager(options: ConnectionOptions, *, journal: Journal | None = None) -> SessionManager:
    """Return a manager set up by the options, optionally with an open journal."""
    timeouts = Timeouts()
    if options.timeout is not None:
        if not (math.isfinite(options.timeout) and options.timeout > 0):
            raise ConfigurationError(f"--timeout is {options.timeout:g}: give seconds above 0.")
        timeouts = attrs.evolve(timeouts, total_seconds=options.timeout)
    return SessionManager(
        base_url=base_url_of(options).template,
        timeouts=timeouts,
        proxy=options.proxy or None,
        journal=journal,
    )


@asynccontextmanager
async def open_job(
    options: ConnectionOptions, job: JobOptions
) -> AsyncGenerator[tuple[SessionManager, Journal | None]]:
    """Open the manager and the journal of a run."""
    place = job.journal
    journal = nullcontext() if place is None else journal_at(place, shared=job.shared_journal)
    async with open_manager(options) as manager, journal as opened:
        yield manager, opened


def read_key(api_key_file: Path | None) -> Secret:
    """Return the key from the file, else the environment, else typed on a terminal."""
    if api_key_file is not None:
        return check_api_key(_from_file(api_key_file))
    if os.environ.get(API_KEY_VARIABLE):
        return check_api_key(Secret(os.environ[API_KEY_VARIABLE]))
    if sys.stdin.isatty():
        try:
            typed = getpass.getpass("API key (not shown): ").strip()
        except KeyboardInterrupt:
            sys.stderr.write("\nNothing was sent. ")
            raise
        except EOFError:
            typed = ""
        return check_api_key(Secret(typed))
    raise ConfigurationError(
        f"No API key: set {API_KEY_VARIABLE}, or name a file that holds it with --api-key-file."
    )


def _from_file(path: Path) -> Secret:
    problem = ""
    try:
        with path.open(encoding="utf-8-sig") as file:
            _warn_if_open(path)
            key = Secret(file.read(_MAX_KEY_CHARACTERS + 1).strip())
        if len(key.reveal()) <= _MAX_KEY_CHARACTERS:
            return key
        problem = "it is too long for a key"
    except OSError as error:
        problem = str(error.strerror)
    except UnicodeError:
        problem = "it is not text"
    raise ConfigurationError(f"The key file {path} cannot be read: {problem}.")


def _warn_if_open(path: Path) -> None:
    if os.name == "posix" and path.is_file() and path.stat().st_mode & _READ_BY_OTHERS:
        sys.stderr.write(f"warning: others can read {path}; run: chmod 600 {path}\n")


def warn_of_file(
    path: Path, notes: Iterable[str], *, has_keys: bool, ignored: Sequence[str] = ()
) -> None:
    """Print how a file was read, and warn if other users can read the keys in it."""
    if ignored:
        names = printable(", ".join(ignored))
        sys.stderr.write(f"warning: columns that mean nothing here: {names}\n")
    for note in notes:
        sys.stderr.write(f"warning: {note}.\n")
    if has_keys:
        _warn_if_open(path)


def confirm(what: str, language: Language = "en") -> bool:
    """Ask on the terminal, and return whether the user agrees."""
    if not has_terminal():
        raise ConfigurationError(
            f"{what} This cannot be undone, and there is no terminal to ask on: add --yes."
        )
    try:
        with plain_interrupts():
            if ask_yes_or_no(f"{what} {word(_GO_ON, language)}"):
                return True
    except KeyboardInterrupt:
        sys.stderr.write(f"\n{word(_NOTHING_SENT, language)} ")
        raise
    sys.stderr.write(f"{word(_NOTHING_SENT, language)}\n")
    return False


def ask_yes_or_no(question: str) -> bool:
    """Ask on the terminal; any answer except yes means no."""
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().casefold() in _YES


def has_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def warn_of_spaces(series: Iterable[str]) -> None:
    """Warn of names with spaces, since a name can never be changed."""
    spaced = [serie for serie in series if any(map(str.isspace, serie))]
    if spaced:
        more = f" and {len(spaced) - 1} more" if len(spaced) > 1 else ""
        sys.stderr.write(
            f"warning: serie {spaced[0]!r}{more} has spaces in it: the provider advises against "
            "them, and a name can never be changed.\n"
        )


def name_of(options: AccountOptions | PartnerOptions) -> str:
    """Return the account's or the partner's name."""
    if isinstance(options, PartnerOptions):
        what, name = "partner", options.partner
    else:
        what, name = "account", options.account
    if not name:
        raise ConfigurationError(f"No {what}: give --{what}, or set {ACCOUNT_VARIABLE}.")
    return check_account_name(name)


def run_call(
    options: AccountOptions | PartnerOptions, call: Callable[[AccountSession], Awaitable[T]]
) -> T:
    """Make one call with the account and key of the options, and return its result."""
    name, key = name_of(options), read_key(options.api_key_file)

    async def made() -> T:
        async with open_manager(options) as manager:
            account = manager.account(name, key.reveal())
            try:
                return await call(account)
            except asyncio.CancelledError:
                for intent in account.sequences.unresolved():
                    show_intent(intent)
                raise

    return run_until_signal(made())
