"""The knobs: what is unknown of the real server, or was seen in more than one form."""

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any, Literal, get_args, get_origin

import attrs

from invoicexpress_async.sandbox.domain.codes import RegisterReason

Language = Literal["pt", "en"]
WindowKind = Literal["sliding", "fixed", "token_bucket"]
CodeForm = Literal["padded", "bare", "integer"]
Envelope = Literal["sequence", "sequences"]
EmptyBody = Literal["space", "empty"]
NotFoundBody = Literal["space", "empty", "html"]
UnauthorizedBody = Literal["object", "list", "empty"]
NumberForm = Literal["integer", "string"]
FlagForm = Literal["integer", "boolean", "string", "word"]
ListForm = Literal["array", "object_when_single"]
AtCommunicationBody = Literal["success", "empty"]
NewAccountSerie = Literal["company", "year", "none"]


class ErrorShape(StrEnum):
    """The bodies in which the real server was seen to refuse.

    The last three are the traps: a top-level code that a nested one overrules, and refusals
    that arrive with status 200.
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
    """How the server responds, for all its accounts; may be changed while it runs.

    Args:
        language: Of the messages, for accounts that have none of their own; the real ones are
            Portuguese or English.
        requests_per_minute: Per account, over any key; None switches the limit off.
        window: How the minute is counted; the real way is unknown.
        retry_after: Sent verbatim with a 429, so that any nonsense can be tried. The real
            server was never seen to send one.
        error_shape: The body of 403, 409, 422, 429 and 5xx.
        account_error_shape: The same of what an operation on accounts is refused for. It has no
            code.
        update_error_shape: The same of an update of an account: its field and text.
        code_form: `"006"`, `"6"` or `6`.
        envelope: The key around the object that create and get return.
        empty_body: What a 200 without content carries.
        not_found_body: What a 404 carries.
        unauthorized_body: `Invalid API key` under `errors`, in an object as it is described or
            in a list as it was recorded in 2019; or nothing, as on the older page.
        number_form: Numbers and ids as integers or as digit strings.
        flag_form: `default_sequence` as `1`, `true`, `"1"` or `"true"`.
        list_form: Whether a single row is listed as an object in place of a list.
        refused_names: Series refused with 422/001, beside those that are too long.
        register_codes: Status and code of a register in place of the described ones, by their
            reason: `{"all_registered": (422, "007")}` for the second way in which the
            description says that. Without a code, a 404 is that of any other operation.
        is_name_check_atomic: When False the name of a serie, and the e-mail and the fiscal id
            of an account, are checked as the request arrives and not as it takes effect: two
            overlapping creates then make a duplicate.
        registration_seconds: How long the tax authority takes. Until then the serie gets
            409/006, to the create that started it too.
        may_answer_before_registered: The create or register that starts a registration
            succeeds at once, with codes still `N/D`, instead of responding with 409/006.
        is_listed_while_registering: Whether a serie created a moment ago is listed while it
            responds with 409/006.
        list_lag_seconds: How long a listing lags behind a create.
        has_row_after_refusal: Whether a create refused for the tax authority's sake leaves
            an unregistered row behind.
        account_flag_form: `at_configured` and `trial`; their real form is unknown.
        account_url: Of a created account, with `{account}` for its name; another one leads
            elsewhere.
        existing_user_status: Of an account that was created for an existing user.
        wrong_user_status: Of the refusal of such a user's e-mail or password.
        not_partner_status: Of a create by an account that is no partner's.
        required_update_fields: What an update must have. The description requires
            `organization_name`, `email`, `password` and `terms`; production code omits the last
            two, and it works.
        new_account_serie: The default series that a new account begins with, unregistered: named
            after the company or the year, or none at all.
        is_every_account_new: Whether accounts that the sandbox is given begin with that series
            as well, and not only those that are created through the API.
        is_email_shown: When False the e-mail of an account that is got is null.
        is_new_account_trial: Whether an account that is created begins with a free trial.
        at_communication_body: What a 2xx of the AT communication carries.
        at_passwords: The one right password at AT, in clear, by the fiscal id of the sub-user.
            For fiscal ids that are not there, any password but `wrong` is right.
        at_attempts: Wrong passwords in a row that lock a sub-user; the right one is of no use
            then.
        inactive_fiscal_ids: Companies without open activity at AT, whichever account they
            have: 422/005.
    """

    language: Language = "pt"
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
    code_form: CodeForm = "padded"
    envelope: Envelope = "sequences"
    empty_body: EmptyBody = "space"
    not_found_body: NotFoundBody = "space"
    unauthorized_body: UnauthorizedBody = "object"
    number_form: NumberForm = "integer"
    flag_form: FlagForm = "integer"
    list_form: ListForm = "array"
    refused_names: Collection[str] = ()
    register_codes: Mapping[RegisterReason, tuple[int, str]] = attrs.field(
        factory=dict[RegisterReason, tuple[int, str]]
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
    new_account_serie: NewAccountSerie = "company"
    is_every_account_new: bool = False
    is_email_shown: bool = True
    is_new_account_trial: bool = False
    at_communication_body: AtCommunicationBody = "success"
    at_passwords: Mapping[str, str] = attrs.field(factory=dict[str, str], repr=False)
    at_attempts: int = 3
    inactive_fiscal_ids: Collection[str] = ()

    def use_older_shapes(self) -> None:
        """Respond as the older pages say and as traffic was recorded in 2019.

        The defaults are those of the description of 2026. Whatever else is set stays.
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
