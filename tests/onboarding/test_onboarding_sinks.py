"""Where keys go: files cut short, used by two, of another shape, on a full disk; and the spool."""

import asyncio
import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from test_onboarding import company, nif, stage
from test_onboarding_corrected import room_for

from invoicexpress_async import ConfigurationError, CreatedAccount, Secret
from invoicexpress_async.onboarding import CompanyList, CsvSink, EnvFileSink, KeySpool, SpoolError

HEADER = "account,api_key,fiscal_id,account_id,organization_name\r\n"
CANARY = "canary-new-key-8d31"


def account(number: int, key: str = "") -> CreatedAccount:
    url = f"https://company-{number}.app.invoicexpress.com"
    return CreatedAccount(id=f"1{number}", url=url, api_key=Secret(key or f"{CANARY}-{number}"))


async def deliver(sink: CsvSink | EnvFileSink, *numbers: int) -> None:
    for number in numbers:
        await sink(company(number), account(number))


def row(number: int) -> str:
    return f"company-{number},{CANARY}-{number},{nif(number)},1{number},Company {number}\r\n"


def variable(number: int) -> str:
    return f"INVOICEXPRESS_API_KEY_COMPANY_{number}={CANARY}-{number}\n"


@pytest.mark.parametrize("cut", [1, 10, len(HEADER), len(HEADER) + 5, len(HEADER) + 30, -1])
async def test_a_row_that_was_cut_short_is_written_anew(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "keys.csv"
    path.write_bytes((HEADER + row(1)).encode()[:cut])

    await deliver(CsvSink(path), 2, 1)

    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {one["account"]: one["api_key"] for one in rows} == {
        "company-1": f"{CANARY}-1",
        "company-2": f"{CANARY}-2",
    }
    assert len(rows) == 2


@pytest.mark.parametrize("cut", [3, len("INVOICEXPRESS_API_KEY_COM"), -1, -5])
async def test_a_variable_that_was_cut_short_is_overruled_by_the_whole_one(
    tmp_path: Path, cut: int
) -> None:
    path = tmp_path / "keys.env"
    path.write_text(variable(1)[:cut])

    await deliver(EnvFileSink(path), 2, 1)

    lines = path.read_text().splitlines()
    assert dict(line.split("=") for line in lines) == {
        f"INVOICEXPRESS_API_KEY_COMPANY_{number}": f"{CANARY}-{number}" for number in (1, 2)
    }


@pytest.mark.parametrize("kind", [CsvSink, EnvFileSink])
async def test_two_runs_that_deliver_the_same_keys_write_each_once(
    tmp_path: Path, kind: Callable[[Path], CsvSink | EnvFileSink]
) -> None:
    path = tmp_path / "keys"
    first, second = kind(path), kind(path)

    async with asyncio.TaskGroup() as group:
        for sink in (first, second):
            for number in range(1, 9):
                group.create_task(deliver(sink, number))

    text = path.read_text()
    assert [text.count(f"{CANARY}-{number}") for number in range(1, 9)] == [1] * 8
    assert await second.key_of("company-3") == f"{CANARY}-3"


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        pytest.param(CsvSink, "name;amount\nx;1\n", id="another CSV"),
        pytest.param(CsvSink, "account,api_key\nacme,key\n", id="a file of accounts"),
        pytest.param(CsvSink, "notes", id="a word"),
        pytest.param(EnvFileSink, "some notes\n", id="notes"),
        pytest.param(EnvFileSink, "notes", id="an unfinished word"),
        pytest.param(EnvFileSink, HEADER, id="CSV for variables"),
        pytest.param(CsvSink, "A=1\n", id="variables for CSV"),
    ],
)
async def test_a_file_of_another_shape_is_refused_before_anything_is_sent(
    tmp_path: Path, kind: Callable[[Path], CsvSink | EnvFileSink], content: str
) -> None:
    path = tmp_path / "file"
    path.write_text(content)
    path.chmod(0o644)
    async with stage(tmp_path) as on:
        with pytest.raises(ConfigurationError, match="not a file of keys"):
            await on.run(CompanyList(companies=[company(1)]), secret_sink=kind(path))
        with pytest.raises(ConfigurationError, match="not a file of keys"):
            await deliver(kind(path), 1)

        assert on.server.requests == []
    assert path.read_bytes() == content.encode()
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("place", ["nowhere/keys.csv", ".", "/dev/full", "/dev/null"])
async def test_a_place_that_is_no_file_is_refused(tmp_path: Path, place: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be written"):
        CsvSink(tmp_path / place).check()
    with pytest.raises(SpoolError, match="cannot be opened"):
        KeySpool(tmp_path / place).open()


async def test_a_file_that_others_could_read_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / "keys.csv"
    path.touch(0o644)

    await deliver(CsvSink(path), 1)

    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes().decode() == HEADER + row(1)


async def test_a_full_disk_is_reported_without_the_key_and_the_next_try_writes_it_whole(
    tmp_path: Path,
) -> None:
    path = tmp_path / "keys.csv"
    await deliver(sink := CsvSink(path), 1)

    with room_for(path.stat().st_size + 12), pytest.raises(OSError, match="too large") as caught:
        await deliver(sink, 2)
    await deliver(sink, 2)

    assert caught.value.__context__ is None
    assert path.read_bytes().decode() == HEADER + row(1) + row(2)


@pytest.mark.parametrize(
    ("key", "problem"),
    [("key\nLD_PRELOAD=x", "control character"), ("key\N{LINE SEPARATOR}", "LINE SEPARATOR")],
    ids=["another line", "invisible"],
)
async def test_a_variable_is_one_line_that_can_be_seen(
    tmp_path: Path, key: str, problem: str
) -> None:
    sink = EnvFileSink(tmp_path / "keys.env")

    with pytest.raises(ConfigurationError, match=problem):
        await sink(company(1), account(1, key))


KEYS = ["&# +%é=", " spaces ", 'a,b;"c"']


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        *((kind, key) for kind in (CsvSink, EnvFileSink) for key in KEYS),
        (CsvSink, "line\N{LINE SEPARATOR}"),
    ],
)
async def test_a_key_comes_back_as_it_was(
    tmp_path: Path, kind: Callable[[Path], CsvSink | EnvFileSink], key: str
) -> None:
    path = tmp_path / "keys"

    for _ in range(2):
        await kind(path)(company(1), account(1, key))

    assert await kind(path).key_of("company-1") == key
    assert len(path.read_text().split("\n")) == {CsvSink: 3, EnvFileSink: 2}[type(kind(path))]


async def test_a_last_line_without_an_end_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "keys.csv"
    path.write_text((HEADER + row(1)).rstrip())

    await deliver(CsvSink(path), 2)

    assert path.read_text().splitlines() == (HEADER + row(1) + row(2)).splitlines()


# The spool


def spool_of(path: Path, *numbers: int) -> bytes:
    spool = KeySpool(path)
    spool.open()
    for number in numbers:
        spool.write(nif(number), account(number))
    spool.close()
    return path.read_bytes()


@pytest.mark.parametrize("cut", [1, 5, 40, -1])
def test_a_spool_that_was_cut_short_keeps_its_whole_lines(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "keys.spool"
    first = len(spool_of(path, 1))
    path.write_bytes(spool_of(path, 2)[: first + cut if cut > 0 else cut])

    for _ in range(2):  # the second finds what the first has repaired
        spool = KeySpool(path)
        found = spool.open()
        spool.close()
        assert set(found) == {nif(1)} | ({nif(2)} if cut == -1 else set())


@pytest.mark.parametrize("content", [b"{", b'{"fiscal_', b'{"fiscal_id": "5', bytes(64)])
def test_a_first_line_that_was_cut_short_is_no_other_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "keys.spool"
    path.write_bytes(content)

    for _ in range(2):
        spool = KeySpool(path)
        assert spool.open() == {}
        spool.close()
    spool_of(path, 1)

    assert set(KeySpool(path).open()) == {nif(1)}


def test_a_spool_is_one_run_s(tmp_path: Path) -> None:
    first = KeySpool(tmp_path / "keys.spool")
    first.open()

    with pytest.raises(SpoolError, match="in use by another run"):
        KeySpool(tmp_path / "keys.spool").open()

    first.close()
    again = KeySpool(tmp_path / "keys.spool")
    assert again.open() == {}
    again.close()


def test_the_spool_shows_no_key_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "keys.spool"
    path.touch(0o644)
    content = spool_of(path, 1)
    spool = KeySpool(path)

    found = spool.open()

    assert CANARY in content.decode()
    assert CANARY not in repr(found) + repr(spool) + repr(vars(spool))
    assert path.stat().st_mode & 0o777 == 0o600
    spool.close()


def test_another_file_is_no_spool_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "companies.csv"
    path.write_text("organization_name;email\n")
    path.chmod(0o644)

    with pytest.raises(SpoolError, match="is not one"):
        KeySpool(path).open()

    assert path.read_text() == "organization_name;email\n"
    assert path.stat().st_mode & 0o777 == 0o644
