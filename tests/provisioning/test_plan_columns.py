"""Whole columns of a plan are found right only when each row of them is."""

import csv
import io
import itertools
import os
import threading
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invoicexpress_async import ConfigurationError
from invoicexpress_async.jobs.csv_reader import CsvColumns, CsvReader
from invoicexpress_async.jobs.problems import Problems
from invoicexpress_async.jobs.table_source import FORMULA
from invoicexpress_async.provisioning import Plan
from invoicexpress_async.provisioning.plan import requested_rows
from invoicexpress_async.provisioning.reading import Defaults, PlanCells
from invoicexpress_async.provisioning.row import RequestedRow, RequestedRows, RowConflicts

HEADER = ("account", "api_key", "serie", "default")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "cp1252")
RIGHT = {
    "account": [
        "acme",
        "ACME",
        " beta ",
        "a-1",
        "a" * 63,
        "account",
        "https://acme.app.invoicexpress.com/",
    ],
    "api_key": ["key", "a:b", "env", "\u00e9", "env:PATH", "api_key"],
    "serie": ["2027", "", "FT 2027", "S\u00e9rie", "Se\u0301rie", "x" * 35, "serie"],
    "default": ["", "0", "1", "Sim", "n\u00e3o", "TRUE"],
}
ODD = (
    *("", " ", "\u00a0", "\u200b", "a\u200bb", "\x07", "a\nb", "\r\n", '"', ";", "\0", FORMULA),
    *("xn--a", "-a", "a" * 64, "gama.pt", "\u212aelvin", "env:NOT_SET_ANYWHERE", "file:nowhere"),
    *("file:", " 2027", "2027.0", "=1+1", "#N/D", "1E5", "2026-01-01 00:00", "x" * 36, "\ufeff"),
    *("perhaps", "2", "\ufb00", "k\u00e9y", *HEADER),
)


async def _vault(account: str) -> str:
    return account


DEFAULTS = (
    Defaults(serie=None, is_default=False),
    Defaults(serie="2027", is_default=True),
    Defaults(serie="2027", is_default=False, api_keys=_vault),
)


def a_cell(column: str) -> st.SearchStrategy[str]:
    right = st.sampled_from(RIGHT[column])
    return st.one_of(right, right, right, right, st.sampled_from(ODD), st.text(max_size=4))


A_ROW = st.tuples(*map(a_cell, HEADER))


def cells_of(rows: list[tuple[str, ...]], defaults: Defaults) -> PlanCells:
    """Return the cells of rows as a reader gives them: only a serie keeps its outer spaces."""
    columns = {
        name: [cell if name == "serie" and cell.strip() else cell.strip() for cell in column]
        for name, column in zip(HEADER, zip(*rows, strict=True), strict=True)
    }
    lines = range(2, len(rows) + 2)
    return PlanCells(
        columns=CsvColumns(lines=lines, cells=columns), defaults=defaults, folder=Path()
    )


def check(rows: list[tuple[str, ...]], defaults: Defaults) -> None:
    """Check that rows which are found right are right, by the checks of a row."""
    cells = cells_of(rows, defaults)

    right = cells.right_rows()

    if right is not None:
        assert [one.problem() for one in cells.rows()] == [""] * len(rows)
        assert right == [one.requested() for one in cells.rows()]
        made = [one.plan_row() for one in cells.rows()]
        assert right == [(row.account, row.serie, row.is_default, row.line) for row in made if row]


@given(rows=st.lists(A_ROW, min_size=1, max_size=3), defaults=st.sampled_from(DEFAULTS))
def test_rows_are_plainly_right_only_when_nothing_is_wrong_with_any(
    rows: list[tuple[str, ...]], defaults: Defaults
) -> None:
    check(rows, defaults)


@pytest.mark.parametrize("column", HEADER)
def test_rows_with_one_odd_cell_are_plainly_right_only_when_it_is(column: str) -> None:
    row = dict(zip(HEADER, ("acme", "key", "2027", "1"), strict=True))

    for odd, defaults in itertools.product(ODD, DEFAULTS):
        check([tuple(row.values()), tuple({**row, column: odd}.values())], defaults)


@pytest.mark.parametrize("column", HEADER)
def test_right_cells_are_found_right_without_a_look_at_each_row(column: str) -> None:
    fixed = {"account": "acme", "api_key": "key", "serie": "2027", "default": "1"}
    rows = [tuple({**fixed, column: cell}.values()) for cell in RIGHT[column]]

    cells = cells_of(rows, Defaults(serie="2027", is_default=False))

    assert cells.right_rows() == [one.requested() for one in cells.rows()]


ROWS = st.one_of(
    A_ROW,
    st.sampled_from(
        [(), ("",), ("", "", "", ""), HEADER, ("Account", "API-Key", "serie", "Default")]
    ),
    st.lists(st.one_of(*map(a_cell, HEADER)), max_size=6),
)


@given(
    rows=st.lists(ROWS, max_size=4),
    ends=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    encoding=st.sampled_from(ENCODINGS),
)
def test_columns_have_the_cells_and_the_lines_of_the_records(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[list[str]],
    ends: str,
    quoting: Literal[0, 1],
    encoding: str,
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=";", lineterminator=ends, quoting=quoting)
    writer.writerows([HEADER, *rows])
    path = tmp_path_factory.getbasetemp() / "columns.csv"
    path.write_bytes(text.getvalue().encode(encoding, "replace"))

    assert _read(path, by_column=True) == _read(path, by_column=False)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_columns_with_one_odd_cell_have_the_cells_of_the_records(
    tmp_path: Path, encoding: str
) -> None:
    path, row = tmp_path / "columns.csv", ["acme", "key", "2027", "1"]
    odd_rows = [[*row[:at], odd, *row[at + 1 :]] for at in range(4) for odd in ODD]

    for odd_row in (*odd_rows, HEADER, ("Account", *HEADER[1:]), ("",) * 4, (FORMULA,) * 4):
        text = io.StringIO()
        csv.writer(text, delimiter=";").writerows([HEADER, row, odd_row])
        path.write_bytes(text.getvalue().encode(encoding, "replace"))

        assert _read(path, by_column=True) == _read(path, by_column=False)


def _read(path: Path, *, by_column: bool) -> tuple[object, ...]:
    problems = Problems(path)
    reader = CsvReader(
        path=path, required=HEADER[:2], optional=HEADER[2:], exact=("serie",), problems=problems
    )
    found: list[tuple[object, ...]] = []
    failure = None
    try:
        if by_column:
            for some in reader.read_columns():
                cells = (some.cells[name] for name in HEADER)
                found += zip(some.lines, *cells, strict=True)
        else:
            found += ((one.line, *(one.cells[name] for name in HEADER)) for one in reader.read())
        problems.check()
    except ConfigurationError as error:
        failure = str(error)
    return found, failure, reader.notes


def test_a_row_that_needs_a_look_does_not_change_those_beside_it(tmp_path: Path) -> None:
    rows = [f"a{number};key;2027;{number % 2}\n" for number in range(700)]
    rows[300] = '"a300";key;"2027";0;;\n'  # more cells than the header has, and all are empty
    rows[301] = "\n"
    path = tmp_path / "plan.csv"
    path.write_text("account;api_key;serie;default\n" + "".join(rows))

    plan = Plan.from_csv(path)

    expected = [
        (f"a{number}", number % 2 == 1, number + 2) for number in range(700) if number != 301
    ]
    assert [(one.account, one.is_default, one.line) for one in plan.rows] == expected
    assert (plan.summary.rows, plan.summary.accounts, plan.summary.defaults) == (699, 699, 349)


def test_no_row_comes_of_a_file_that_was_changed_while_it_is_run(tmp_path: Path) -> None:
    path = tmp_path / "plan.csv"
    header = "account;api_key;serie\n"
    path.write_text(header + "".join(f"a{number:05d};key;2027\n" for number in range(2_000)))
    plan = Plan.from_csv(path)
    rows = iter(plan.rows)
    names = [next(rows).account]

    with path.open("r+") as file:  # the same file, not one in its place
        file.write(header + "".join(f"b{number:05d};key;2027\n" for number in range(2_000)))
    os.utime(path, (1, 1))
    with pytest.raises(ConfigurationError, match="was changed since it was checked"):
        names += (row.account for row in rows)

    assert len(names) < 2_000
    assert {name[0] for name in names} == {"a"}


def test_a_plan_from_a_named_pipe_is_not_taken_for_changed(tmp_path: Path) -> None:
    pipe = tmp_path / "plan.csv"
    os.mkfifo(pipe)
    os.utime(pipe, (0, 0))  # what is written sets its time anew
    writer = threading.Thread(
        target=pipe.write_text, args=("account;api_key;serie\nacme;key;2027\n",), daemon=True
    )

    writer.start()
    plan = Plan.from_csv(pipe)
    writer.join(timeout=10)

    assert [*requested_rows(plan)] == [("acme", "2027", 0)]
    assert [row.account for row in plan.rows] == ["acme"]


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["acme", "beta", "gama"]),
            st.sampled_from(["2027", "2028", "FT 27", "ft27", "S\u00e9rie", "Se\u0301rie"]),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_all_conflicts_of_rows_are_those_that_each_has_with_the_rows_before_it(
    rows: list[tuple[str, str, bool]],
) -> None:
    given_rows = [RequestedRow(*row, line) for line, row in enumerate(rows, 2)]
    one_by_one, together = RowConflicts(), RequestedRows()

    together.add(given_rows)

    found = [(row, one_by_one.find(row)) for row in given_rows]
    assert list(together.conflicts()) == [(row, problem) for row, problem in found if problem]
    assert sorted(together) == sorted(rows)
    assert [row[0] for row in together] == sorted(row[0] for row in rows)
    assert together.summary().accounts == len({row[0] for row in rows})
