"""The project's own OpenAPI description of what it calls, for tests and for `live-check`.

It ships with the package because `live-check` compares a real server with it. Each of its parts
names its evidence; its `info.description` explains the extensions.
"""

import json
from importlib import resources
from typing import Final

from invoicexpress_async.models.json_value import JsonValue

_FILE: Final = "openapi.json"


def read_description() -> dict[str, JsonValue]:
    """Read the OpenAPI document, a new one for each caller.

    Raises:
        TypeError: The file is not a JSON object.
    """
    document: JsonValue = json.loads(
        resources.files(__name__).joinpath(_FILE).read_text(encoding="utf-8")
    )
    if not isinstance(document, dict):
        raise TypeError(f"{_FILE} is not a JSON object.")
    return document
