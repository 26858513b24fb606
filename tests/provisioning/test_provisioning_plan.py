import copy
import itertools
import re
from pathlib import Path

import pytest

from invoicexpress_async import ConfigurationError
from invoicexpress_async.config import Secret
from invoicexpress_async.provisioning import (
    KeyReference,
    KeyUnavailableError,
    Plan,
    PlanRow,
    RunSettings,
    RunStop,
    SqliteJournal,
)
from invoicexpress_async.provisioning.job import sync_plan
from invoicexpress_async.provisioning.rows_table import RowJournal

KEY = "canary-key-7f3a9c"


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "accounts.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def names(plan: Plan) -> list[tuple[str, str, bool, int]]:
    return [(row.account, row.serie, row.is_default, row.line) for row in plan.rows]


@pytest.mark.fault(54)
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"account,api_key\nacme,k1\nbeta,k2\n", id="commas"),
        pytest.param(b"account;api_key\nacme;k1\nbeta;k2\n", id="semicolons"),
        pytest.param(b"account\tapi_key\nacme\tk1\nbeta\tk2\n", id="tabs"),
        pytest.param(b"\xef\xbb\xbfaccount;api_key\r\nacme;k1\r\nbeta;k2\r\n", id="utf-8 BOM"),
        pytest.param("account\tapi_key\nacme\tk1\nbeta\tk2\n".encode("utf-16"), id="utf-16"),
        pytest.param(b'"account","api_key"\n"acme","k1"\n"beta","k2"\n', id="quoted"),
        pytest.param(b"Account , API-Key\n ACME , k1\nbeta,k2", id="case and spaces"),
        pytest.param(b"api_key;account\nk1;acme\nk2;beta\n", id="another order"),
        pytest.param(b"account;api_key\nacme;k1;;\nbeta;k2;\n", id="empty cells at the end"),
    ],
)
def test_a_plan_is_read_however_a_spreadsheet_wrote_it(tmp_path: Path, content: bytes) -> None:
    plan = Plan.from_csv(write(tmp_path, content), serie="2027", default=True)

    assert names(plan) == [("acme", "2027", True, 2), ("beta", "2027", True, 3)]
    assert [row.api_key for row in plan.rows] == [Secret("k1"), Secret("k2")]


@pytest.mark.fault(54)
def test_lines_are_counted_over_blank_lines_and_quoted_line_ends(tmp_path: Path) -> None:
    text = 'sep=;\n\naccount;api_key;note\n\nacme;k1;"one\ntwo"\n;;\n  \nbeta;k2;\n'

    plan = Plan.from_csv(write(tmp_path, text), serie="2027")

    assert [(row.account, row.line) for row in plan.rows] == [("acme", 5), ("beta", 9)]
    assert plan.ignored_columns == ("note",)


def test_a_row_says_its_own_serie_and_default_before_those_for_all(tmp_path: Path) -> None:
    text = "account,api_key,serie,default\nacme,k,A,sim\nbeta,k,,0\ngama,k,C,\n"

    plan = Plan.from_csv(write(tmp_path, text), serie="2027", default=True)

    assert names(plan) == [
        ("acme", "A", True, 2),
        ("beta", "2027", False, 3),
        ("gama", "C", True, 4),
    ]


@pytest.mark.fault(54)
def test_every_bad_row_is_named_with_its_line_and_no_key_is_shown(tmp_path: Path) -> None:
    text = (
        "account,api_key,serie,default\n"
        f"{KEY}.x,{KEY},2027,1\n"  # a key in the wrong column
        f"acme,,{KEY * 4},perhaps\n"
        f"beta;{KEY};2027\n"
        f"gama,{KEY},,\n"
        f"acme,{KEY},2027,1\n"
        f"acme ,{KEY},2027,1\n"
        f"acme,{KEY},2028,1\n"
        f"delta,env:NOT_SET_ANYWHERE,2027,\n"
        f"delta,file:nowhere.key,2027,\n"
    )

    with pytest.raises(ConfigurationError) as caught:
        Plan.from_csv(write(tmp_path, text))

    lines = re.findall(r"line (\d+): (.*)", str(caught.value))
    assert [int(number) for number, _ in lines] == [2, 3, 4, 5, 7, 8, 9, 10]
    reported = dict(lines)
    assert reported["2"].startswith("account is not one DNS label")
    assert [part.split()[0] for part in reported["3"].split("; ")] == [
        "api_key",
        "serie",
        "default",
    ]
    assert reported["4"] == "1 field where the header has 4"
    assert reported["5"] == "no serie, and none was given for all rows"
    assert reported["7"] == "the same account and serie as line 6"
    assert reported["8"] == "a second default for the account of line 6"
    assert "environment variable" in reported["9"]
    assert "file that cannot be read" in reported["10"]
    assert KEY not in str(caught.value)


@pytest.mark.fault(54)
def test_only_the_first_problems_of_many_are_shown(tmp_path: Path) -> None:
    rows = "".join(f"bad name {number},k\n" for number in range(1000))

    with pytest.raises(ConfigurationError, match="1000 problems") as caught:
        Plan.from_csv(write(tmp_path, "account,api_key\n" + rows), serie="2027")

    assert "1000 rows, lines 2, 3, 4, …: account is not one DNS label" in str(caught.value)
    assert str(caught.value).count("\n") < 4


def test_a_serie_that_is_missing_everywhere_is_reported_once(tmp_path: Path) -> None:
    rows = "".join(f"a{number},k\n" for number in range(50))

    with pytest.raises(ConfigurationError, match="50 rows, lines 2, 3, 4, …: no serie"):
        Plan.from_csv(write(tmp_path, "account,api_key\n" + rows))


@pytest.mark.parametrize("column", ["defualt", "series", "Deafult", "default_"])
def test_a_column_that_is_nearly_one_of_ours_is_refused(tmp_path: Path, column: str) -> None:
    path = write(tmp_path, f"account,api_key,{column}\nacme,k,1\n")

    with pytest.raises(ConfigurationError, match="spelt"):
        Plan.from_csv(path, serie="2027")


@pytest.mark.parametrize("column", ["note", "nif", "customer", "date"])
def test_a_column_of_the_users_own_is_ignored(tmp_path: Path, column: str) -> None:
    path = write(tmp_path, f"account,api_key,{column}\nacme,k,1\n")

    assert Plan.from_csv(path, serie="2027").ignored_columns == (column,)


@pytest.mark.fault(54)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "no header", id="empty"),
        pytest.param(b"acme,k1\n", "no header", id="no header"),
        pytest.param(b"account,key\nacme,k1\n", "no header", id="another column"),
        pytest.param(b"account,api_key\n\n", "no rows", id="no rows"),
        pytest.param(b"account,api_key,account\na,k,b\n", "two columns account", id="twice"),
        pytest.param(b"account,api_key\nac\xe7me,canary-key\n", "not UTF-8", id="latin-1"),
        pytest.param(b'account,api_key\nacme,"canary-key\n', "line 2: the rest", id="open quote"),
        pytest.param(b'account,api_key\nacme,"canary-key"x\n', "line 2: the rest", id="bad quote"),
    ],
)
def test_a_file_that_is_no_plan_is_refused_as_a_whole(
    tmp_path: Path, content: bytes, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        Plan.from_csv(write(tmp_path, content), serie="2027")

    assert "canary-key" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_file_that_is_not_there_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Plan.from_csv(tmp_path / "nowhere.csv", serie="2027")


def test_a_serie_that_cannot_be_is_refused_before_the_file_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="36 characters"):
        Plan.from_csv(tmp_path / "nowhere.csv", serie="x" * 36)


async def test_a_reference_is_read_at_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beta.key").write_text(f"{KEY}-2\n")
    monkeypatch.setenv("ACME_KEY", KEY)
    text = "account,api_key\nacme,env:ACME_KEY\nbeta,file:beta.key\n"

    plan = Plan.from_csv(write(tmp_path, text), serie="2027")

    keys = [row.api_key for row in plan.rows]
    assert keys == [KeyReference("env", "ACME_KEY"), KeyReference("file", f"{tmp_path}/beta.key")]
    assert [await key.read() for key in keys if isinstance(key, KeyReference)] == [KEY, f"{KEY}-2"]


async def test_a_reference_to_nothing_says_so() -> None:
    with pytest.raises(KeyUnavailableError, match="env:NOT_SET_ANYWHERE"):
        await KeyReference("env", "NOT_SET_ANYWHERE").read()
    with pytest.raises(KeyUnavailableError, match="file:/nowhere"):
        await KeyReference("file", "/nowhere").read()


def test_a_row_hides_its_key_and_is_checked() -> None:
    row = PlanRow(account="ACME", api_key=KEY, serie="2027")

    assert row.account == "acme"
    assert KEY not in repr(row) + str(row) + repr(copy.deepcopy(row))
    with pytest.raises(ConfigurationError, match="DNS label"):
        PlanRow(account="a b", api_key=KEY, serie="2027")
    with pytest.raises(ConfigurationError, match="empty"):
        PlanRow(account="acme", api_key="", serie="2027")


@pytest.mark.fault(54)
def test_a_plan_of_rows_refuses_what_cannot_both_be_meant() -> None:
    row = PlanRow(account="acme", api_key=KEY, serie="FT 2027")

    with pytest.raises(ConfigurationError, match="the same account and serie as an earlier row"):
        Plan(rows=[row, PlanRow(account="ACME", api_key=KEY, serie="ft2027")])


async def steps_of_planning(folder: Path, count: int) -> int:
    """Return how much SQLite does to enter a plan, and another of which half is new."""
    steps = itertools.count()
    async with SqliteJournal(folder / "job.db") as journal:
        # The handler returns a true value to interrupt, and is called each hundred instructions.
        await journal.writer.run(
            lambda one: one.set_progress_handler(lambda: next(steps) and None, 100)
        )
        rows = RowJournal(journal)
        for first in (0, count // 2):
            lines = "".join(f"a{number};{KEY};2027\n" for number in range(first, first + count))
            path = folder / f"{first}.csv"
            path.write_text(f"account;api_key;serie\n{lines}")
            settings = RunSettings(accept_changes=True)
            await sync_plan(rows, Plan.from_csv(path), settings, stop=RunStop())
    return next(steps)


@pytest.mark.fault(54)
async def test_a_plan_eight_times_as_long_is_entered_with_eight_times_the_work(
    tmp_path: Path,
) -> None:
    for name in ("few", "many"):
        (tmp_path / name).mkdir()

    few = await steps_of_planning(tmp_path / "few", 500)
    many = await steps_of_planning(tmp_path / "many", 4_000)

    assert many < 8 * few * 1.5
