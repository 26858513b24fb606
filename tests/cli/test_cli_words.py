"""Every text for people is there in Portuguese, with the same values and options in it."""

import ast
import string
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import cast

import invoicexpress_async
from invoicexpress_async import DocumentType, InvoiceXpressError, Registration, cli
from invoicexpress_async.cli import cures, failures, output
from invoicexpress_async.cli.commands import onboard
from invoicexpress_async.cli.views import (
    audit,
    audit_lines,
    preview,
    preview_texts,
    row_view,
    status,
)
from invoicexpress_async.cli.views.audit import AUDIT_COLUMNS
from invoicexpress_async.cli.views.columns import DOCUMENT_COLUMNS, Place
from invoicexpress_async.cli.views.companies import BRIEF_STEPS, COMPANIES, COMPANY_COLUMNS
from invoicexpress_async.cli.views.preview import PLAN_COLUMNS, PREVIEW_COLUMNS
from invoicexpress_async.cli.views.rows import ROW_COLUMNS, ROWS
from invoicexpress_async.cli.words import LANGUAGES, portuguese
from invoicexpress_async.jobs.journal import JournalState
from invoicexpress_async.onboarding import CompanyStep
from invoicexpress_async.protocol import codes
from invoicexpress_async.provisioning import next_serie
from invoicexpress_async.services import account_errors

PACKAGE = Path(invoicexpress_async.__file__).parent
SAYING = frozenset({"word", "said", "_said", "label", "lines_of", "_unknown", "print_more"})
COUNTED = (
    *("another serie lacks codes", "in flight", "not done"),
    *("planned", "open", "created", "fine", "not fine", "parked", "not started"),
    *("not looked at", "no default", "several defaults", "no codes sent"),
)
PARTS_OF_TEXTS = frozenset({"_TAKE_UP", "_REGISTER_AGAIN"})
# Headings and states that reach `word` through a variable.
NAMED = (
    *("state", "step", "code", "such as", "what to do", "meaning", "problem", "series", "error"),
    *(
        "unknown",
        "sent",
        "absent since",
        "operation",
        "unknown call",
        "looked at again",
        "why",
        "in flight",
        "audit",
        "accounts",
    ),
    *(
        "another serie lacks codes",
        "fine",
        "not fine",
        "yes",
        "no",
        "intent",
        "no codes sent",
    ),
    output.MORE,
    *("in {path}", "on stdout", "The report", "stdout", "{time}", "{time}, then sent"),
    *(f"{count} {one}" for count in ("1", "{count}") for one in COUNTED),
    "1 row",
    "1 account",
    "1 company",
    *("slice", "rows left", "held by", "since"),
)


def errors_below(kind: type[InvoiceXpressError]) -> Iterator[type[InvoiceXpressError]]:
    yield kind
    for one in kind.__subclasses__():
        if one.__module__.startswith("invoicexpress_async."):
            yield from errors_below(one)


def texts_in_calls() -> Iterator[str]:
    """Yield what the modules of the command line say, as constants of the calls that say it."""
    for path in Path(cli.__file__).parent.rglob("*.py"):
        if path.name == "words.py":
            continue  # it says what it is given
        tree = ast.parse(path.read_text())
        constants = {
            node.target.id: node.value
            for node in tree.body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value
        }
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            name = getattr(call.func, "id", getattr(call.func, "attr", ""))
            nodes = [node for argument in call.args for node in ast.walk(argument)]
            named = [
                constants.get(one.id, one) if isinstance(one, ast.Name) else one for one in nodes
            ]
            found = [one.value for one in named if isinstance(one, ast.Constant)]
            texts = [one for one in found if isinstance(one, str) and one.strip(", ")]
            if name in SAYING:
                yield from (one for one in texts if one not in LANGUAGES)
            elif name == "counted":
                yield from (f"{{count}} {one}" for one in texts if one not in LANGUAGES)


def constants_of(module: ModuleType) -> Iterator[str]:
    for name, value in vars(module).items():
        if name.isupper() and "STYLE" not in name and name not in PARTS_OF_TEXTS:
            yield from strings_in(value)


def strings_in(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from strings_in(tuple(cast("Mapping[object, object]", value).values()))
    elif isinstance(value, tuple):
        for one in cast("tuple[object, ...]", value):
            yield from strings_in(one)


def texts() -> Iterator[str]:
    yield from texts_in_calls()
    for kind in errors_below(InvoiceXpressError):
        yield failures.cure_of_kind(kind)
    modules = (cures, account_errors, codes, audit, audit_lines, preview, preview_texts, next_serie)
    for module in (*modules, row_view, status):
        yield from constants_of(module)
    yield from NAMED
    yield from (*onboard.COUNTS.values(), *BRIEF_STEPS)
    planned = (PREVIEW_COLUMNS, onboard.COLUMNS, PLAN_COLUMNS)
    for columns in (ROW_COLUMNS, COMPANY_COLUMNS, AUDIT_COLUMNS, DOCUMENT_COLUMNS, *planned):
        for column in columns:
            if column.places & (Place.PEOPLE | Place.CSV):
                yield (column.name if column.title is None else column.title).replace("_", " ")
    for records in (ROWS, COMPANIES):
        yield from (records.title, records.noun, f"of {{total}} {records.noun} in {{seconds}} s")
        states = [one.replace("_", " ") for one in records.styles]
        yield from (key for one in states for key in (one, f"1 {one}", f"{{count}} {one}"))
    for names in (JournalState, CompanyStep, DocumentType, Registration, onboard.PlannedAction):
        yield from (one.replace("_", " ") for one in names)


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_every_text_is_there_in_portuguese() -> None:
    missing = sorted(set(map(str, texts())) - set(portuguese()))

    assert missing == []


def test_both_languages_have_the_same_values_and_commands() -> None:
    def parts(text: str) -> set[str]:
        options = {part.strip(".,;:)") for part in text.split() if part.startswith("--")}
        return fields(text) | options | {text.count("`invoicexpress ").__str__()}

    different = [
        english for english, other in portuguese().items() if parts(english) != parts(other)
    ]

    assert different == []


def test_nothing_is_translated_that_is_not_said() -> None:
    assert sorted(set(portuguese()) - set(map(str, texts()))) == []
