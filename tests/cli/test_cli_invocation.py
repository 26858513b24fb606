import pytest

from invoicexpress_async.cli.shell import program


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
