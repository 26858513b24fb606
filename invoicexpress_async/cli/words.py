"""The words of a page and a spreadsheet, in the languages that they can be had in."""

from collections.abc import Mapping
from typing import Final, Literal

Language = Literal["en", "pt"]

_PORTUGUESE: Final[Mapping[str, str]] = {
    # headings
    "line": "linha",
    "account": "conta",
    "serie": "série",
    "state": "estado",
    "created": "criada",
    "FT code": "código FT",
    "no code for": "sem código para",
    "error": "erro",
    "code": "código",
    "what to do": "o que fazer",
    "cure": "o que fazer",
    "problem": "problema",
    "default": "predefinida",
    "is_default": "predefinida",
    "is_fine": "em ordem",
    "last numbers and codes": "últimos números e códigos",
    "number": "último número",
    "document_type": "tipo de documento",
    "document_sequence_id": "id da série do documento",
    "validation_code": "código de validação",
    "registration": "registo na AT",
    "company": "empresa",
    "organization_name": "empresa",
    "fiscal_id": "NIF",
    "step": "passo",
    "intent": "envio",
    # states
    "done": "feita",
    "prepared": "preparada",
    "refused": "recusada",
    "partial": "parcial",
    "unknown": "desconhecida",
    "absent": "ausente",
    "failed": "falhou",
    "unplanned": "sem plano",
    "planned": "planeada",
    "intent sent": "enviada",
    "fine": "em ordem",
    "not fine": "com problemas",
    "registered": "registada",
    "not registered": "não registada",
    "not_registered": "não registada",
    "not_applicable": "não se aplica",
    "no default": "sem série predefinida",
    "several defaults": "várias séries predefinidas",
    "yes": "sim",
    "True": "sim",
    "False": "não",
    # the page
    "report of a run": "relatório de uma execução",
    "audit": "verificação",
    "onboarding": "abertura de contas",
    "status": "situação",
    "rows": "linhas",
    "Filter": "Filtrar",
    "What to do first": "O que fazer primeiro",
    "Nothing needs a person.": "Nada precisa de si.",
}


def word(text: str, language: Language) -> str:
    """Return a word in a language; what it does not know stays as it is."""
    return _PORTUGUESE.get(text, text) if language == "pt" else text
