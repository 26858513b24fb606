"""The outcomes of a run as tables."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from rich.table import Table
from rich.text import Text

from invoicexpress_async import DocumentSequenceState, DocumentType, Registration
from invoicexpress_async.cli._failures import cure_of
from invoicexpress_async.cli._output import cell, data_console, new_table
from invoicexpress_async.cli._text import plain
from invoicexpress_async.provisioning import RowOutcome, RowState

_MOST_ROWS: Final = 20
_ACCOUNT_WIDTH: Final = 22
_WIDEST: Final = 1_000  # what no table needs, so that it is measured as it would like to be
_STATE_STYLES: Final = {
    RowState.DONE: "green",
    RowState.REFUSED: "red",
    RowState.PARTIAL: "yellow",
    RowState.UNKNOWN: "bold magenta",
    RowState.FAILED: "red",
}
_MARKS: Final = {
    Registration.REGISTERED: ("✓", "green"),
    Registration.PARTIAL: ("?", "yellow"),
    Registration.NOT_REGISTERED: ("✗", "bold red"),
    Registration.NOT_APPLICABLE: ("·", "dim"),
    Registration.UNKNOWN: ("?", "yellow"),
}
# As printed on Portuguese documents; the others are this program's own.
_INITIALS: Final[dict[str, str]] = {
    DocumentType.INVOICE: "FT",
    DocumentType.INVOICE_RECEIPT: "FR",
    DocumentType.SIMPLIFIED_INVOICE: "FS",
    DocumentType.CREDIT_NOTE: "NC",
    DocumentType.DEBIT_NOTE: "ND",
    DocumentType.RECEIPT: "RC",
    DocumentType.SHIPPING: "GR",
    DocumentType.TRANSPORT: "GT",
    DocumentType.DEVOLUTION: "GD",
    DocumentType.PROFORMA: "PF",
    DocumentType.QUOTE: "OR",
    DocumentType.FEES_NOTE: "FN",
    DocumentType.VAT_MOSS_INVOICE: "VI",
    DocumentType.VAT_MOSS_CREDIT_NOTE: "VC",
    DocumentType.VAT_MOSS_RECEIPT: "VR",
    DocumentType.PURCHASE_ORDER: "PO",
}


def show_outcomes(outcomes: Sequence[RowOutcome], *, total: int, seconds: float) -> None:
    """Show a table by account and document type, then what to do, then the counts."""
    console = data_console()
    # What needs a person first: of thousands of rows only the first are shown.
    ranked = sorted(
        outcomes, key=lambda outcome: (outcome.state is RowState.DONE, outcome.row.line)
    )
    if ranked:
        shown = ranked[:_MOST_ROWS]
        types = list(dict.fromkeys(name for one in shown for name in _documents(one)))
        table = _account_table(shown, types)
        wide = console.options.update(width=_WIDEST)
        if console.measure(table, options=wide).maximum > console.width:
            types = list[str]()  # the codes themselves come first; --report has them all
            table = _account_table(shown, types)
        console.print(table)
        if len(ranked) > _MOST_ROWS:
            console.print(
                f"… {len(ranked) - _MOST_ROWS} more: `provision` has --json and --report for all",
                style="dim",
            )
        if types:
            console.print(_legend(types), style="dim")
    if any(outcome.error for outcome in outcomes):
        console.print(_failure_table(ranked))
    console.print(_summary(outcomes, total=total, seconds=seconds))


def _documents(outcome: RowOutcome) -> dict[str, DocumentSequenceState]:
    if outcome.sequence is None:
        return {}
    return {str(name): state for name, state in outcome.sequence.documents.items()}


def _account_table(outcomes: Iterable[RowOutcome], types: Sequence[str]) -> Table:
    table = new_table("account", "state", "id", "FT code", numbers=("id",))
    table.padding = (0, 0)
    table.columns[0].max_width = _ACCOUNT_WIDTH
    table.columns[0].overflow = "ellipsis"
    for column in table.columns:
        column.no_wrap = True
    for name in types:
        table.add_column(_initials(name), justify="center", no_wrap=True)
    for outcome in outcomes:
        documents = _documents(outcome)
        invoice = documents.get(DocumentType.INVOICE)
        table.add_row(
            cell(outcome.row.account),
            Text(outcome.state, _STATE_STYLES[outcome.state]),
            cell(outcome.sequence and outcome.sequence.id),
            cell(invoice and invoice.validation_code),
            *(_mark(documents.get(name)) for name in types),
        )
    return table


def _mark(state: DocumentSequenceState | None) -> Text:
    return Text(*_MARKS[state.registration]) if state is not None else Text("")


def _initials(name: str) -> str:
    return _INITIALS.get(name, plain(name[:2].upper()))


def _legend(types: Iterable[str]) -> str:
    names = ", ".join(f"{_initials(name)} {plain(name)}" for name in types)
    return f"✓ has a code  ✗ needs one and has none  · needs none\n{names}\n"


def _failure_table(outcomes: Iterable[RowOutcome]) -> Table:
    table = new_table("state", "code", "rows", "such as", "what to do", numbers=("rows",))
    groups: dict[tuple[str, ...], list[RowOutcome]] = {}
    for outcome in outcomes:
        if outcome.error is not None:
            kind = outcome.state, _code(outcome), cure_of(outcome.error)
            groups.setdefault(kind, []).append(outcome)
    for (state, code, cure), members in groups.items():
        table.add_row(
            Text(state, _STATE_STYLES[RowState(state)]),
            cell(code),
            cell(len(members)),
            cell(members[0].row.account),
            cell(cure),
        )
    return table


def _code(outcome: RowOutcome) -> str:
    if outcome.status is None:
        # Without an answer the class says it, unless the state does.
        is_told = outcome.state in {RowState.PARTIAL, RowState.UNKNOWN}
        return "-" if is_told else (outcome.error_name or "").removesuffix("Error")
    return f"{outcome.status}/{outcome.code}" if outcome.code else str(outcome.status)


def _summary(outcomes: Sequence[RowOutcome], *, total: int, seconds: float) -> Text:
    counts = Counter(outcome.state for outcome in outcomes)
    created = sum(outcome.created is True for outcome in outcomes)
    text = Text()
    for state in RowState:
        if counts[state]:
            text.append(f"{counts[state]} {state}", _STATE_STYLES[state])
            text.append(f" ({created} created)  " if state is RowState.DONE else "  ")
    if total > len(outcomes):
        text.append(f"{total - len(outcomes)} not started  ", "bold red")
    return text.append(f"of {total} rows in {seconds:.1f} s")
