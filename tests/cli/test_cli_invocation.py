import pytest

from invoicexpress_async.cli.shell import as_typed, program, typed, typed_command


@pytest.mark.parametrize(
    ("argument", "python", "typed"),
    [
        pytest.param("/opt/bin/invoicexpress", "", "invoicexpress", id="found on PATH"),
        pytest.param(".venv/bin/invoicexpress", "", ".venv/bin/invoicexpress", id="relative"),
        pytest.param("/my apps/invoicexpress", "", "'/my apps/invoicexpress'", id="elsewhere"),
        pytest.param(
            "/x/invoicexpress_async/__main__.py",
            ".venv/bin/python",
            ".venv/bin/python -m invoicexpress_async",
            id="-m",
        ),
        pytest.param("/x/pytest/__main__.py", "python", "invoicexpress", id="another program"),
    ],
)
def test_hints_name_the_command_as_it_was_typed(
    monkeypatch: pytest.MonkeyPatch, argument: str, python: str, typed: str
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/opt/bin/{name}")

    assert program([argument], python) == typed


@pytest.mark.parametrize("proxy", [["--proxy", "http://u:canary@p"], ["--proxy=http://u:canary@p"]])
def test_a_command_is_kept_as_it_was_typed_without_a_secret(
    monkeypatch: pytest.MonkeyPatch, proxy: list[str]
) -> None:
    for name in ("ACCOUNT", "API_KEY", "PROXY", "TIMEOUT_SECONDS"):
        monkeypatch.setenv(f"INVOICEXPRESS_{name}", "canary")
    monkeypatch.delenv("INVOICEXPRESS_TIMEOUT_SECONDS")
    monkeypatch.setenv("INVOICEXPRESS_BASE_URL", "http://localhost/{account}")
    monkeypatch.setattr("sys.argv", ["invoicexpress"])

    with typed(["provision", "my accounts.csv", *proxy, "--serie", "2027"]):
        kept = typed_command()

    assert kept is not None
    assert as_typed(kept) == (
        "INVOICEXPRESS_BASE_URL='http://localhost/{account}' invoicexpress provision "
        "'my accounts.csv' --serie 2027"
    )
    assert typed_command() is None
