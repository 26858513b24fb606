"""What `invoicexpress status` shows of the companies of an onboarding."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from invoicexpress_async.cli.cures import cure_of_standing
from invoicexpress_async.cli.output import cell, data_console, new_table
from invoicexpress_async.onboarding import CompanyStanding, CompanyStep

_GO_ON: Final = "do what the table says, then run the same onboard command again."
_Kind = tuple[CompanyStep, str, str | None]


def company_objects(standings: Mapping[str, CompanyStanding]) -> list[dict[str, object]]:
    """Return the companies as plain data, counted by where they stand."""
    counts = Counter[_Kind]()
    first: dict[_Kind, str] = {}
    for fiscal_id, one in standings.items():
        kind = one.step, one.state, one.error
        counts[kind] += 1
        first.setdefault(kind, fiscal_id)
    return [
        {
            "step": kind[0],
            "state": kind[1],
            "error": kind[2],
            "cure": cure_of_standing(*kind),
            "companies": count,
            "such_as": first[kind],
        }
        for kind, count in counts.most_common()
    ]


def show_companies(standings: Mapping[str, CompanyStanding]) -> None:
    """Show them, and what to do next."""
    columns = ("step", "state", "companies", "such as", "error", "what to do")
    table = new_table(*columns, numbers=("companies",))
    for one in company_objects(standings):
        names = ("step", "state", "companies", "such_as", "error", "cure")
        table.add_row(*(cell(one[name]) for name in names))
    console = data_console()
    console.print(
        f"{len(standings)} compan{'y' if len(standings) == 1 else 'ies'}.", "", table, sep="\n"
    )
    left = sum(one.step is not CompanyStep.END for one in standings.values())
    end = "nothing, all can invoice." if not left else _GO_ON
    console.print("", f"Next: {end}", sep="\n")
