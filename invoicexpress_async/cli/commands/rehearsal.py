"""What the accounts and the answers of `invoicexpress sandbox` are like, to rehearse a job on."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from invoicexpress_async.cli.rehearsal_options import Kind, RehearsalOptions
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.sandbox import FAULT_NAMES, FaultServer, Sandbox, make_fault

_FIRST_YEAR: Final = 2000
_LAST_YEAR: Final = 2999
_MOST_LATENCY_SECONDS: Final = 600.0
_MAX_SERIE_LENGTH: Final = 35  # the tax authority's own


def check(options: RehearsalOptions) -> None:
    """Check what can be checked before there are accounts.

    Raises:
        ConfigurationError: An option has a value that makes no sense.
    """
    year = options.serie_of
    if year is not None and not _FIRST_YEAR <= year <= _LAST_YEAR:
        raise ConfigurationError(f"Give --serie-of a year such as 2026, not {year}.")
    if min(number for _, number in options.kinds) < 0:
        raise ConfigurationError("Give a number of accounts that is 0 or more.")
    if not 0.0 <= options.latency <= _MOST_LATENCY_SECONDS:
        raise ConfigurationError(
            f"Give --latency from 0 to {_MOST_LATENCY_SECONDS:.0f} seconds, "
            f"not {options.latency:g}."
        )
    if sum(_weights(options).values()) > 1.0:
        raise ConfigurationError("The shares of all --fault together are more than 1.")


def prepare(
    sandbox: Sandbox | FaultServer, names: Sequence[str], options: RehearsalOptions
) -> Mapping[str, Kind]:
    """Make the accounts and the answers as they are asked for; return who is unlike the others.

    Raises:
        ConfigurationError: There are too few accounts for all that is asked for.
    """
    unlike = _chosen(names, options)
    for name, kind in unlike.items():
        _change(sandbox, name, kind)
    for name in names:
        is_registered = unlike.get(name) != "with a series unregistered"
        # One that is restored from a file has its series already.
        if not sandbox.sequences(name) and (options.serie_of is not None or not is_registered):
            # Without a year, as a new account's own: it is named after the company.
            serie = str(options.serie_of or name.upper()[:_MAX_SERIE_LENGTH])
            sandbox.add_sequence(name, serie, is_default=True, is_registered=is_registered)
    if options.shapes == "older":
        sandbox.use_older_shapes()
    if isinstance(sandbox, FaultServer):
        _plan_faults(sandbox, options)
    return unlike


def describe(unlike: Mapping[str, Kind]) -> str:
    """Return a line for each kind of account that is unlike the others."""
    kinds = dict.fromkeys(unlike.values())
    return "".join(
        f"{kind}: {', '.join(name for name, one in unlike.items() if one == kind)}\n"
        for kind in kinds
    )


def _chosen(names: Sequence[str], options: RehearsalOptions) -> Mapping[str, Kind]:
    wanted: list[Kind] = [kind for kind, number in options.kinds for _ in range(number)]
    if len(wanted) > len(names):
        raise ConfigurationError(
            f"{len(wanted)} accounts are to be unlike the others, and there are {len(names)}: "
            "give more with --accounts."
        )
    return dict(zip(names[len(names) - len(wanted) :], wanted, strict=True))


def _change(sandbox: Sandbox | FaultServer, name: str, kind: Kind) -> None:
    account = sandbox.accounts[name]
    match kind:
        case "on trial":
            sandbox.update_account(attrs.evolve(account, is_trial=True))
        case "without AT credentials":
            sandbox.update_account(attrs.evolve(account, has_at_credentials=False))
        case "not Portuguese":
            sandbox.update_account(attrs.evolve(account, country="IE"))
        case "with a series unregistered":
            pass  # the account is as any other


def _plan_faults(server: FaultServer, options: RehearsalOptions) -> None:
    weights = {make_fault(name): share for name, share in _weights(options).items()}
    share = sum(weights.values())
    if options.latency > 0.0:
        weights[make_fault("latency", seconds=options.latency)] = 1.0 - share
        share = 1.0
    server.faults.randomly(weights, share=share)


def _weights(options: RehearsalOptions) -> dict[str, float]:
    return dict(map(_weight, options.fault))


def _weight(text: str) -> tuple[str, float]:
    name, _, share = text.partition(":")
    if name not in FAULT_NAMES:
        near = difflib.get_close_matches(name, FAULT_NAMES, n=3, cutoff=0.3)
        raise ConfigurationError(
            f"There is no fault {name!r}. Some that there are: {', '.join(near or FAULT_NAMES)}."
        )
    try:
        number = float(share)
    except ValueError:
        number = -1.0
    if not 0.0 < number <= 1.0:
        raise ConfigurationError(
            f"Give a fault with its share, such as --fault {name}:0.05, not {text!r}."
        )
    return name, number
