"""The messages of refusals, in the languages that the real server was seen to use."""

_MESSAGES = {
    "pt": {
        "unknown": "Erro desconhecido",
        "name": "O nome da série não é permitido",
        "exists": "A série já existe",
        "invalid_series": "Série inválida",
        "at_credentials": "As credenciais da Autoridade Tributária são inválidas",
        "no_activity": "O NIF da conta não tem atividade aberta na Autoridade Tributária",
        "being_registered": "A série já está a ser registada",
        "all_registered": "Todas as séries estão registadas na AT",
        "missing": "A série não existe",
        "not_portuguese": "A conta não é portuguesa",
        "429": "Demasiados pedidos",
        "required": "{field} não pode estar em branco",
        "too_long": "{field} é demasiado longo",
        "invalid": "{field} não é válido",
        "terms": "Os termos têm de ser aceites",
        "confirmation": "A confirmação não é igual à password",
        "email_taken": "O e-mail já está a ser utilizado",
        "fiscal_id_taken": "O NIF já está a ser utilizado noutra conta",
        "fiscal_id_fixed": "O NIF não pode ser alterado",
        "user": "O e-mail ou a password do utilizador não estão corretos",
        "rights": "A conta não tem permissões de parceiro",
        "at_nif": "O subutilizador não é do NIF da conta",
        "at_wrong": "A Autoridade Tributária recusou o subutilizador ou a password",
        "at_locked": "O subutilizador está bloqueado na Autoridade Tributária",
        "": "Não foi possível executar o pedido",
    },
    "en": {
        "unknown": "Unknown error",
        "name": "Sequence name not allowed",
        "exists": "Sequence already exists",
        "invalid_series": "Invalid sequence",
        "at_credentials": "Invalid tax authority credentials",
        "no_activity": "The account's fiscal ID has no open activity at the tax authority",
        "being_registered": "The sequence is already being registered",
        "all_registered": "All sequences are registered in AT",
        "missing": "The sequence doesn't exist",
        "not_portuguese": "The account is not Portuguese",
        "429": "Too many requests",
        "required": "{field} can't be blank",
        "too_long": "{field} is too long",
        "invalid": "{field} is invalid",
        "terms": "Terms must be accepted",
        "confirmation": "Password confirmation doesn't match password",
        "email_taken": "Email has already been taken",
        "fiscal_id_taken": "Fiscal ID is already used in another account",
        "fiscal_id_fixed": "Fiscal ID cannot be changed",
        "user": "The user's email or password is not correct",
        "rights": "The account has no partner rights",
        "at_nif": "The sub-user is not of the account's fiscal ID",
        "at_wrong": "The tax authority refused the sub-user or the password",
        "at_locked": "The sub-user is locked at the tax authority",
        "": "The request could not be carried out",
    },
}


def message(key: str, *, language: str, field: str) -> str:
    """Return the message for a reason or a status; a general message if there is none."""
    # Accounts may be Spanish too; their messages were never seen.
    messages = _MESSAGES.get(language, _MESSAGES["en"])
    return messages.get(key, messages[""]).format(field=field)
