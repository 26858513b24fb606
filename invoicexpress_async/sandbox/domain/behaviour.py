"""The settings for behaviour that is unknown of the real server, or was seen in several forms."""

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any, Literal, get_args, get_origin

import attrs

from invoicexpress_async.sandbox.domain.codes import Reason

WindowKind = Literal["sliding", "fixed", "token_bucket"]
FlagForm = Literal["integer", "boolean", "string", "word"]


class ErrorShape(StrEnum):
    """The shapes of the real server's refusals, as seen.

    The last three are traps: a top-level code that a nested one overrides, and refusals that
    arrive with status 200.
    """

    EMPTY = "empty"
    SPACE = "space"
    CODE_MESSAGE = "code_message"
    ERRORS_CODE_MESSAGE = "errors_code_message"
    ERRORS_ERROR = "errors_error"
    ERRORS_LIST_ERROR = "errors_list_error"
    ERRORS_LIST_TEXT = "errors_list_text"
    ERRORS_TEXT = "errors_text"
    ERRORS_FIELD = "errors_field"
    FIELD = "field"
    ERROR = "error"
    MESSAGE = "message"
    PAIRS = "pairs"
    FIELD_TEXT = "field_text"
    HTML = "html"
    TEXT = "text"
    NESTED_CODE_WINS = "nested_code_wins"
    SUCCESS_FALSE = "success_false"
    SUCCESS_FALSE_TEXT = "success_false_text"


def _check_choice(_: object, field: "attrs.Attribute[object]", value: object) -> None:
    choices = get_args(field.type)
    if value not in choices:
        raise ValueError(f"{field.name} is none of {choices}: {value!r:.40}")


def _check_choices(
    _: type, fields: "list[attrs.Attribute[object]]"
) -> "list[attrs.Attribute[object]]":
    """Check the fields of a few values, also when one is set later: a slip does something else."""
    return [
        field.evolve(validator=_check_choice) if get_origin(field.type) is Literal else field
        for field in fields
    ]


def _check_limit(_: object, field: "attrs.Attribute[Any]", value: object) -> None:
    if value is not None and (type(value) is not int or value < 1):
        raise ValueError(f"{field.name} is {value!r:.40}: give an integer of 1 or more, or None")


@attrs.define(kw_only=True, eq=False, field_transformer=_check_choices)
class SandboxBehaviour:
    """How the server responds, for all its accounts. It may be changed while the server runs.

    Args:
        language: The language of the messages, for accounts that set none; the real messages are
            Portuguese or English.
        requests_per_minute: The limit per account, over all keys; None switches the limit off.
        window: How the minute is counted; the real way is unknown.
        retry_after: The header of a 429, sent verbatim, so that any nonsense can be tried. The
            real server was never seen to send one.
        error_shape: The body of 403, 409, 422, 429 and 5xx.
        account_error_shape: The body of a refused operation on accounts. It has no code.
        update_error_shape: The body of a refused update of an account: its field and text.
        code_form: `"006"`, `"6"` or `6`.
        envelope: The key around the object that create and get return.
        empty_body: The body of a 200 without content.
        not_found_body: The body of a 404.
        unauthorized_body: `Invalid API key` under `errors`, in an object as it is described or
            in a list as it was recorded in 2019; or nothing, as on the older page.
        number_form: Numbers and ids as integers or as digit strings.
        flag_form: `default_sequence` as `1`, `true`, `"1"` or `"true"`.
        list_form: Whether a single row is listed as an object instead of a list.
        refused_names: Series refused with 422/001, in addition to those that are too long.
        register_codes: Status and code of a register by their reason, instead of the described
            ones: `{"all_registered": (422, "007")}` for the second form in the description.
            Without a code, a 404 has the body of any other 404.
        is_name_check_atomic: When False the name of a serie, and the e-mail and the fiscal id
            of an account, are checked when the request arrives and not when it takes effect: two
            overlapping creates then make a duplicate.
        registration_seconds: How long the tax authority takes. Until then requests for the serie
            get 409/006 (a register 409/008), even the one that started the registration.
        may_answer_before_registered: The create or register that starts a registration
            succeeds at once, with codes still `N/D`, instead of responding with 409/006.
        is_listed_while_registering: Whether a new serie is listed while requests for it get
            409/006.
        list_lag_seconds: How long a listing lags behind a create.
        has_row_after_refusal: Whether a create that is refused because of the tax authority
            leaves an unregistered row behind.
        account_flag_form: The form of `at_configured` and `trial`; the real form is unknown.
        account_url: The url of a created account, with `{account}` for its name; any other url
            leads elsewhere.
        existing_user_status: The status of a create of an account for an existing user.
        wrong_user_status: The status when such a user's e-mail or password is wrong.
        not_partner_status: The status of a create by an account that is not a partner's.
        required_update_fields: The fields that an update must have. The description requires
            `organization_name`, `email`, `password` and `terms`; production code omits the last
            two, and it works.
        new_account_serie: The unregistered default series of a new account: named after the
            company or the year, or none.
        is_every_account_new: Whether accounts given to the sandbox begin with that series too,
            and not only those that are created through the API.
        is_email_shown: When False, the e-mail in the response of an account's `get` is null.
        is_new_account_trial: Whether a created account begins with a free trial.
        at_communication_body: The body of a 2xx of the AT communication.
        at_passwords: The right password at AT, in clear, by the fiscal id of the sub-user. For
            other fiscal ids, any password except `wrong` is right.
        at_attempts: How many wrong passwords in a row lock a sub-user; after that even the right
            one is refused.
        inactive_fiscal_ids: The fiscal ids of companies without open activity at AT, whichever
            account they have: create gets 422/005.
    """

    language: Literal["pt", "en"] = "pt"
    requests_per_minute: int | None = attrs.field(default=780, validator=_check_limit)
    window: WindowKind = "sliding"
    retry_after: str | None = None
    error_shape: ErrorShape = attrs.field(
        default=ErrorShape.ERRORS_CODE_MESSAGE, converter=ErrorShape
    )
    account_error_shape: ErrorShape = attrs.field(
        default=ErrorShape.ERRORS_ERROR, converter=ErrorShape
    )
    update_error_shape: ErrorShape = attrs.field(
        default=ErrorShape.FIELD_TEXT, converter=ErrorShape
    )
    code_form: Literal["padded", "bare", "integer"] = "padded"
    envelope: Literal["sequence", "sequences"] = "sequences"
    empty_body: Literal["space", "empty"] = "space"
    not_found_body: Literal["space", "empty", "html"] = "space"
    unauthorized_body: Literal["object", "list", "empty"] = "object"
    number_form: Literal["integer", "string"] = "integer"
    flag_form: FlagForm = "integer"
    list_form: Literal["array", "object_when_single"] = "array"
    refused_names: Collection[str] = ()
    register_codes: Mapping[Reason, tuple[int, str]] = attrs.field(
        factory=dict[Reason, tuple[int, str]]
    )
    is_name_check_atomic: bool = True
    registration_seconds: float = 0.0
    may_answer_before_registered: bool = False
    is_listed_while_registering: bool = False
    list_lag_seconds: float = 0.0
    has_row_after_refusal: bool = False
    account_flag_form: FlagForm = "boolean"
    account_url: str = "https://{account}.app.invoicexpress.com"
    existing_user_status: Literal[200, 201] = 200
    wrong_user_status: Literal[400, 422] = 400
    not_partner_status: Literal[403, 422] = 422
    required_update_fields: Collection[str] = ()
    new_account_serie: Literal["company", "year", "none"] = "company"
    is_every_account_new: bool = False
    is_email_shown: bool = True
    is_new_account_trial: bool = False
    at_communication_body: Literal["success", "empty"] = "success"
    at_passwords: Mapping[str, str] = attrs.field(factory=dict[str, str], repr=False)
    at_attempts: int = 3
    inactive_fiscal_ids: Collection[str] = ()

    def use_older_shapes(self) -> None:
        """Respond as described on the older pages and as recorded in 2019.

        The defaults are those of the description of 2026. Other settings stay.
        """
        self.error_shape = ErrorShape.CODE_MESSAGE
        self.account_error_shape = ErrorShape.ERRORS_LIST_ERROR
        self.update_error_shape = ErrorShape.ERRORS_LIST_ERROR
        self.envelope = "sequence"
        self.unauthorized_body = "list"
        self.register_codes = {
            "missing": (404, ""),
            "being_registered": (409, "006"),
            "all_registered": (409, "007"),
        }
        self.existing_user_status = 201
        self.wrong_user_status = 422
        self.not_partner_status = 403
        self.new_account_serie = "none"
