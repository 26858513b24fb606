"""Errors of requests with secrets: what a server may have echoed or given is taken out of them."""

from typing import Final

from invoicexpress_async.config import Secret
from invoicexpress_async.errors import InvoiceXpressError, MalformedResponseError, StatusError

_FIRST_SERVER_ERROR: Final = 500


def text_of_refusal(status: int, code: str | None, messages: tuple[str, ...]) -> str:
    """Return what the error of a refusal says."""
    name = f"HTTP {status}" + (f", code {code:.40}" if code is not None else "")
    # A server's own sentence has its full stop already.
    text = messages[0].rstrip(" .") if messages else ""
    said = f": {text}" if text else ""
    return f"The server refused ({name}){said}."


def without_secrets(error: InvoiceXpressError, secrets: tuple[Secret, ...]) -> InvoiceXpressError:
    """Take out of the error what the response to a request with secrets may have put there."""
    if isinstance(error, MalformedResponseError):
        error.excerpt = ""
    if isinstance(error, StatusError):
        # A server that failed may have created it nevertheless, and its response may have the key.
        is_failure = error.status >= _FIRST_SERVER_ERROR
        shown = () if is_failure else error.messages
        error.messages = tuple(_hide(text, secrets) for text in shown)
        error.code = None if error.code is None else _hide(error.code, secrets)
        error.args = (text_of_refusal(error.status, error.code, error.messages),)
    return error


def _hide(text: str, secrets: tuple[Secret, ...]) -> str:
    shown = text.encode(errors="replace")
    for secret in secrets:
        shown = secret.redact(shown)
        if secret.reveal().encode() in shown:  # too short to be cut out of ordinary words
            return "[redacted]"
    return shown.decode()
