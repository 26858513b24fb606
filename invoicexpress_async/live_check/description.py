"""Compares responses with the OpenAPI description: the form of a body, and unknown fields."""

import json
import re
from collections.abc import Iterator
from importlib import import_module, resources
from typing import Any, Final, cast

import attrs

from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.live_check.probe import BodyKind, ProbeRequest, Reply
from invoicexpress_async.models.json_value import JsonValue

JsonObject = dict[str, JsonValue]
_FILE: Final = "openapi.json"


def read_description() -> JsonObject:
    """Return the project's OpenAPI description of the calls it makes, as a new object.

    Each part names its evidence; `info.description` explains the extensions.
    """
    text = resources.files("invoicexpress_async").joinpath("data", _FILE).read_text("utf-8")
    return cast("JsonObject", json.loads(text))


_ALTERNATIVES: Final = "anyOf"
_FORM_OF_EMPTY: Final = {b"": "no byte", b" ": "one space"}


@attrs.frozen(kw_only=True)
class Comparison:
    """The result of comparing a response with its description.

    Attributes:
        is_described: Whether the description allows this status and body.
        form: The described form that the body has, or the kind of body.
        problem: What differs from the description, in field names, never in values.
        new_names: The names of fields that are not in the description.
    """

    is_described: bool
    form: str
    problem: str = ""
    new_names: tuple[str, ...] = ()


class Description:
    """The OpenAPI document with which responses are compared."""

    def __init__(self) -> None:
        """Read the document; raise ConfigurationError if `jsonschema` is not installed."""
        try:
            # Imported by name: its types are incomplete, and it is too slow for the help.
            self._library: Any = import_module("jsonschema")
        except ImportError:
            self._library = None
        if self._library is None:
            raise ConfigurationError(
                "live-check needs an extra: pip install '.[cli,live]' in a checkout of this "
                "package."
            )
        self._document = read_description()
        self._components = _object(self._document["components"])

    def request(
        self, operation: str, *, identifier: int | None = None, body: JsonValue = None
    ) -> ProbeRequest:
        """Return the request of an operation."""
        method, path, _ = self._find(operation)
        return ProbeRequest(method=method, path=path, identifier=identifier, body=body)

    def compare(self, operation: str, reply: Reply) -> Comparison:
        """Compare a response with those that the description allows for its operation."""
        responses = _object(self._find(operation)[2]["responses"])
        response = responses.get(str(reply.status), responses.get(f"{reply.status // 100}XX"))
        if response is None:
            return Comparison(is_described=False, form=form_of_kind(reply), problem="status")
        found = self._resolve(_object(response))
        content = _object(found.get("content", {}))
        if reply.kind is BodyKind.JSON and content:
            return self._compare_json(_object(content["application/json"]), reply)
        is_described = reply.kind in _list(found.get("x-also", []))
        problem = "" if is_described else "a body of this kind"
        return Comparison(is_described=is_described, form=form_of_kind(reply), problem=problem)

    def form(self, schema: str, value: JsonValue) -> str:
        """Return the title of the alternative of a named schema that the value fits; else ""."""
        return self._form({"$ref": f"#/components/schemas/{schema}"}, value)

    def document_types(self) -> frozenset[str]:
        """Return the document types in the description."""
        row = _object(_object(self._components["schemas"])["Row"])
        return frozenset(_object(row["x-document-types"]))

    def _find(self, operation: str) -> tuple[str, str, JsonObject]:
        for path, methods in _object(self._document["paths"]).items():
            for method, found in _object(methods).items():
                if _object(found)["operationId"] == operation:
                    return method.upper(), path, _object(found)
        raise LookupError(operation)

    def _resolve(self, part: JsonObject) -> JsonObject:
        reference = part.get("$ref")
        if not isinstance(reference, str):
            return part
        kind, name = reference.removeprefix("#/components/").split("/")
        return self._resolve(_object(_object(self._components[kind])[name]))

    def _compare_json(self, content: JsonObject, reply: Reply) -> Comparison:
        schema, value = _object(content["schema"]), reply.document
        problem = self._problem(schema, value)
        if problem:
            return Comparison(is_described=False, form="JSON", problem=problem)
        names = tuple(dict.fromkeys(self._new_names(schema, value)))
        return Comparison(is_described=True, form=self._form(schema, value), new_names=names)

    def _validator(self, schema: JsonObject) -> Any:  # noqa: ANN401  # of the library
        whole = {**schema, "components": self._components}
        return self._library.Draft202012Validator(whole)

    def _problem(self, schema: JsonObject, value: JsonValue) -> str:
        errors = self._validator(schema).iter_errors(value)
        error = self._library.exceptions.best_match(errors)
        if error is None:
            return ""
        # The error's message holds the value, so only the place and the rule are returned.
        place = ".".join(shown_name(one) for one in error.absolute_path if isinstance(one, str))
        return f"{place or 'the whole'} ({error.validator})"

    def _form(self, schema: JsonObject, value: JsonValue) -> str:
        part = self._resolve(schema)
        alternative = self._alternative(part, value)
        if alternative is not None:
            return self._form(alternative, value)
        return str(part.get("title", ""))

    def _alternative(self, part: JsonObject, value: JsonValue) -> JsonObject | None:
        alternatives = map(_object, _list(part.get(_ALTERNATIVES, [])))
        return next((one for one in alternatives if self._validator(one).is_valid(value)), None)

    def _new_names(self, schema: JsonObject, value: JsonValue) -> Iterator[str]:
        part = self._resolve(schema)
        alternative = self._alternative(part, value)
        if alternative is not None:
            yield from self._new_names(alternative, value)
            return
        if isinstance(value, list):
            items = _object(part.get("items", {}))
            for item in value:
                yield from self._new_names(items, item)
        if isinstance(value, dict) and "properties" in part:
            for name, inner in value.items():
                below = _field(part, name)
                if below is None:
                    yield shown_name(name)
                else:
                    yield from self._new_names(below, inner)


def form_of_kind(reply: Reply) -> str:
    """Return the kind of a body in words, when the description has no form for it."""
    if reply.kind is BodyKind.EMPTY:
        return f"empty, {_FORM_OF_EMPTY.get(reply.body, 'white space')}"
    return {BodyKind.JSON: "JSON", BodyKind.HTML: "an HTML page"}.get(reply.kind, "plain text")


_FIELD_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,79}")


def shown_name(name: str) -> str:
    """Return a field's name if it looks like one, since a server may use values as names."""
    return name if _FIELD_NAME.fullmatch(name) else "<name>"


def _field(part: JsonObject, name: str) -> JsonObject | None:
    properties = _object(part["properties"])
    if name in properties:
        return _object(properties[name])
    for pattern, schema in _object(part.get("patternProperties", {})).items():
        if re.search(pattern, name):
            return _object(schema)
    return None


def _object(value: JsonValue) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []
