"""Plans of many rows, good and bad: nothing of them is kept in memory."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from job_process import KEY, ask, start_measuring

from invoicexpress_async import ConfigurationError
from invoicexpress_async.provisioning import Plan

ROWS = 50_000  # benchmarks/bench_provision.py has a million


def write(folder: Path, lines: Iterator[str]) -> Path:
    path = folder / "plan.csv"
    with path.open("w") as file:
        file.write("account;api_key;serie;default\n")
        file.writelines(lines)
    return path


@pytest.mark.fault(54)
async def test_a_plan_of_many_rows_is_checked_read_and_entered_in_bounded_memory(
    tmp_path: Path,
) -> None:
    file = write(tmp_path, (f"account-{n};{KEY};2027;1\n" for n in range(ROWS)))
    journal, reported = tmp_path / "job.db", tmp_path / "reported.json"

    assert await start_measuring(file, journal, reported).ended() == 0

    figures = json.loads(reported.read_text())
    assert (figures["rows"], figures["problem"]) == (ROWS, "")
    assert figures["mib"] < 12  # its rows alone, kept, would be three times that
    assert ask(journal, "SELECT state, count(*) FROM rows GROUP BY state") == [("planned", ROWS)]


@pytest.mark.fault(54)
async def test_a_file_full_of_bad_rows_is_reported_in_bounded_memory(tmp_path: Path) -> None:
    file = write(tmp_path, (f"account-{n % 9};{KEY};2027;1\n" for n in range(ROWS)))
    reported = tmp_path / "reported.json"

    assert await start_measuring(file, tmp_path / "job.db", reported).ended() == 0

    figures = json.loads(reported.read_text())
    assert f"has {ROWS - 9} problems" in figures["problem"]
    assert figures["mib"] < 6  # kept, its problems alone would be more
    assert not (tmp_path / "job.db").exists()


@pytest.mark.fault(54)
def test_what_is_not_shown_of_many_kinds_of_problems_is_counted(tmp_path: Path) -> None:
    lines = (f"account-{n // 2};{KEY};2027;{n % 2}\n" for n in range(100))

    with pytest.raises(ConfigurationError, match="50 problems") as caught:
        Plan.from_csv(write(tmp_path, lines))

    shown = str(caught.value).splitlines()
    assert "  line 3: the same account and serie as line 2" in shown
    assert "  … and 30 more" in shown
    assert len([line for line in shown if line.startswith("  line")]) == 20
