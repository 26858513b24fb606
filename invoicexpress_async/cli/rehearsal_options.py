"""The options of `invoicexpress sandbox` that say what to rehearse a job on."""

from typing import Annotated, Literal

import attrs
from cyclopts import Parameter

Kind = Literal["on trial", "without AT credentials", "not Portuguese", "with a series unregistered"]


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class RehearsalOptions:
    """What to rehearse with. The accounts that are unlike the others are the last ones."""

    serie_of: Annotated[
        int | None,
        Parameter(help="Give each account a registered series of this year, as its default."),
    ] = None
    unregistered: Annotated[
        int, Parameter(help="So many accounts have a default series without codes (N/D).")
    ] = 0
    trial: Annotated[int, Parameter(help="So many accounts are on trial: they answer 401.")] = 0
    without_at: Annotated[int, Parameter(help="So many accounts have no AT credentials.")] = 0
    not_portuguese: Annotated[int, Parameter(help="So many accounts are not Portuguese.")] = 0
    latency: Annotated[float, Parameter(help="Answer each request so many seconds late.")] = 0.0
    fault: Annotated[
        tuple[str, ...],
        Parameter(
            help="NAME:SHARE, such as reset_peer:0.05: of twenty requests one takes effect and its "
            "answer is lost. May be given more than once.",
            negative=(),
        ),
    ] = ()
    shapes: Annotated[
        Literal["newest", "older"],
        Parameter(help="Of the answers: as described in 2026, or as on the older pages."),
    ] = "newest"

    @property
    def kinds(self) -> tuple[tuple[Kind, int], ...]:
        """How many accounts are unlike the others, and in what."""
        return (
            ("on trial", self.trial),
            ("without AT credentials", self.without_at),
            ("not Portuguese", self.not_portuguese),
            ("with a series unregistered", self.unregistered),
        )

    @property
    def needs_faults(self) -> bool:
        """Whether only a server that fails on demand can do it."""
        return bool(self.fault) or self.latency > 0.0
