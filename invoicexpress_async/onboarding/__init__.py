"""Onboard companies: create the account, deliver its key, set AT credentials, create the serie."""

from invoicexpress_async.onboarding.companies import CompanyList
from invoicexpress_async.onboarding.company import Company, KnownAccount
from invoicexpress_async.onboarding.errors import (
    AccountUnknownError,
    CredentialsUnknownError,
    KeyLostError,
    KeyNeededError,
    NameUnknownError,
    NotVerifiedError,
    SeriesWaitingError,
    SinkError,
)
from invoicexpress_async.onboarding.report import (
    CompanyOutcome,
    CompanyState,
    CompanyStep,
    OnboardingReport,
)
from invoicexpress_async.onboarding.run import onboard
from invoicexpress_async.onboarding.sinks import CsvSink, EnvFileSink, SecretSink
from invoicexpress_async.onboarding.spool import KeySpool, SpoolError
from invoicexpress_async.onboarding.standings import CompanyStanding, read_standings

__all__ = [
    "AccountUnknownError",
    "Company",
    "CompanyList",
    "CompanyOutcome",
    "CompanyStanding",
    "CompanyState",
    "CompanyStep",
    "CredentialsUnknownError",
    "CsvSink",
    "EnvFileSink",
    "KeyLostError",
    "KeyNeededError",
    "KeySpool",
    "KnownAccount",
    "NameUnknownError",
    "NotVerifiedError",
    "OnboardingReport",
    "SecretSink",
    "SeriesWaitingError",
    "SinkError",
    "SpoolError",
    "onboard",
    "read_standings",
]
