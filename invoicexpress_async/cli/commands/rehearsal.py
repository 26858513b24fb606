"""The options of `invoicexpress sandbox` for its accounts and responses, to rehearse a job."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Final, Literal

import attrs
from cyclopts import Parameter

from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.sandbox import FAULT_NAMES, Sandbox, SandboxAccount, make_fault

Kind = Literal["on trial", "without AT credentials", "not Portuguese", "with a series unregistered"]
# The account itself does not differ if only its series is unregistered.
_CHANGES: Final[Mapping[Kind, Callable[[SandboxAccount], SandboxAccount]]] = {
    "on trial": lambda one: attrs.evolve(one, is_trial=True),
    "without AT credentials": lambda one: attrs.evolve(one, has_at_credentials=False),
    "not Portuguese": lambda one: attrs.evolve(one, country="IE"),
}
_FIRST_YEAR: Final = 2000
_LAST_YEAR: Final = 2999
_MAX_LATENCY_SECONDS: Final = 600.0
_MAX_SERIE_LENGTH: Final = 35  # the limit of the tax authority


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class RehearsalOptions:
    """What to rehearse with. The accounts that differ from the others are the last ones."""

    serie_of: Annotated[
        int | None,
        Parameter(help="Give each account a registered series of this year, as its default."),
    ] = None
    unregistered: Annotated[
        int, Parameter(help="How many accounts have a default series without codes (N/D).")
    ] = 0
    trial: Annotated[
        int, Parameter(help="How many accounts are on trial: they respond with 401.")
    ] = 0
    without_at: Annotated[int, Parameter(help="How many accounts have no AT credentials.")] = 0
    not_portuguese: Annotated[int, Parameter(help="How many accounts are not Portuguese.")] = 0
    latency: Annotated[float, Parameter(help="Seconds by which each response is delayed.")] = 0.0
    fault: Annotated[
        tuple[str, ...],
        Parameter(
            help="NAME:SHARE. With reset_peer:0.05, one request of twenty takes effect and its "
            "response is lost. May be given more than once."
        ),
    ] = ()
    shapes: Annotated[
        Literal["newest", "older"],
        Parameter(
            help="The form of the responses: as described in 2026, or as on the older pages."
        ),
    ] = "newest"

    @property
    def kinds(self) -> tuple[tuple[Kind, int], ...]:
        return (
            ("on trial", self.trial),
            ("without AT credentials", self.without_at),
            ("not Portuguese", self.not_portuguese),
            ("with a series unregistered", self.unregistered),
        )


def check(options: RehearsalOptions) -> None:
    """Check the options, as far as possible before the accounts exist."""
    year = options.serie_of
    if year is not None and not _FIRST_YEAR <= year <= _LAST_YEAR:
        raise ConfigurationError(f"Give --serie-of a year such as 2026, not {year}.")
    if min(number for _, number in options.kinds) < 0:
        raise ConfigurationError("Give a number of accounts that is 0 or more.")
    if not 0.0 <= options.latency <= _MAX_LATENCY_SECONDS:
        raise ConfigurationError(
            f"Give --latency from 0 to {_MAX_LATENCY_SECONDS:.0f} seconds, not {options.latency:g}."
        )
    if sum(_weights(options).values()) > 1.0:
        raise ConfigurationError("The shares of all --fault together are more than 1.")


def prepare(
    sandbox: Sandbox, names: Sequence[str], options: RehearsalOptions
) -> Mapping[str, Kind]:
    """Set up the accounts and responses; return the accounts that differ, with their kinds."""
    unlike = _chosen(names, options)
    for name, kind in unlike.items():
        if kind in _CHANGES:
            sandbox.update_account(_CHANGES[kind](sandbox.accounts[name]))
    for name in names:
        is_registered = unlike.get(name) != "with a series unregistered"
        # An account that is restored from a file already has its series.
        if not sandbox.sequences(name) and (options.serie_of is not None or not is_registered):
            # Without a year, named like the first series of a new account: after the company.
            serie = str(options.serie_of or name.upper()[:_MAX_SERIE_LENGTH])
            sandbox.add_sequence(name, serie, is_default=True, is_registered=is_registered)
    if options.shapes == "older":
        sandbox.use_older_shapes()
    _plan_faults(sandbox, options)
    return unlike


def describe(unlike: Mapping[str, Kind]) -> str:
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


def _plan_faults(server: Sandbox, options: RehearsalOptions) -> None:
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
