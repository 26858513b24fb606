"""Checks intents that come back from outside, before they are used."""

import functools

import cattrs

from invoicexpress_async.config import check_id, check_serie
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.protocol.strict import make_strict_converter


def structure_intent(data: object) -> Intent:
    """Check an intent that comes back from outside; refuse anything but one of this version."""
    try:
        intent = _converter().structure(data, Intent)
        if intent["operation"] == "create":
            check_serie(intent["serie"])
        elif intent["operation"] == "register":
            check_id(intent["sequence_id"])
    except (cattrs.BaseValidationError, TypeError, ValueError, AttributeError, KeyError):
        pass  # cattrs prints the refused values: leave the block before raising
    else:
        return intent
    raise ConfigurationError(
        "This is not an intent: give resume() the `intent` of an OutcomeUnknownError, as it was."
    )


@functools.cache
def _converter() -> cattrs.Converter:
    # Created for the first intent: most runs read none, and it costs as much as a row of a job.
    return make_strict_converter()
