"""What `invoicexpress onboard` does."""

import sys
from pathlib import Path

import attrs

from invoicexpress_async.cli.commands.onboard_plan import describe, plan_companies, show_plan
from invoicexpress_async.cli.company_run import Onboarding
from invoicexpress_async.cli.confirmation import confirm, warn_of_spaces
from invoicexpress_async.cli.connection import base_url_of, is_this_machine, read_key
from invoicexpress_async.cli.exit_codes import FAILED
from invoicexpress_async.cli.job_options import check_concurrency
from invoicexpress_async.cli.onboard_options import OnboardOptions
from invoicexpress_async.cli.partner_call import partner_of
from invoicexpress_async.cli.partner_options import PartnerOptions
from invoicexpress_async.cli.report_file import check_report
from invoicexpress_async.cli.signals import run_to_its_end
from invoicexpress_async.cli.text import plain
from invoicexpress_async.cli.views.company_report import company_layout
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.onboarding import CompanyList, read_standings
from invoicexpress_async.provisioning import RunSettings


@attrs.frozen(kw_only=True)
class Order:
    """What is to be onboarded, and where what comes of it goes."""

    companies: Path
    keys_out: Path
    journal: Path
    serie: str | None


def carry_out(order: Order, job: OnboardOptions, options: PartnerOptions) -> int:
    """Read the companies, say what is to be done, ask, run."""
    check_concurrency(job.concurrency)
    settings = RunSettings(
        resend_absent_after=job.resend_absent_after, retry_refused=job.retry_refused
    )
    base_url, partner = base_url_of(options), partner_of(options)
    spool = job.spool or order.keys_out.with_name(f"{order.keys_out.name}.spool")
    _check_paths(order, spool, job.report)
    if job.report is not None:
        check_report(job.report, company_layout(job.report))
    companies = _read(order, job)
    plan = plan_companies(
        companies,
        read_standings(order.journal),
        forget=job.forget,
        retry_refused=job.retry_refused,
    )
    what = f"{describe(plan)}, by {partner} at {base_url.for_account(partner)}"
    if job.dry_run:
        sys.stderr.write(f"Would onboard: {what}. Nothing was looked at or sent.\n")
        return show_plan(plan, as_json=options.as_json)
    key = read_key(options.api_key_file)
    if not (job.yes or is_this_machine(base_url) or confirm(f"About to onboard: {what}.")):
        return FAILED
    sys.stderr.write(f"Onboarding: {what}.\n")
    onboarding = Onboarding(
        companies=companies,
        partner=partner,
        partner_key=key,
        journal=order.journal,
        keys_out=order.keys_out,
        spool=spool,
        job=job,
        settings=settings,
        options=options,
    )
    return run_to_its_end(onboarding.run())


def _read(order: Order, job: OnboardOptions) -> CompanyList:
    companies = CompanyList.from_csv(
        order.companies,
        serie=order.serie,
        # A dry run accepts nothing: nothing is sent.
        accepts_terms=job.accept_terms or job.dry_run,
    )
    absent = sorted(set(job.forget) - {one.fiscal_id for one in companies.companies})
    if absent:
        raise ConfigurationError(f"--forget names {plain(absent[0])!r}, which the file has not.")
    if companies.ignored_columns:
        names = plain(", ".join(companies.ignored_columns))
        sys.stderr.write(f"warning: columns that mean nothing here: {names}\n")
    warn_of_spaces(dict.fromkeys(one.serie for one in companies.companies))
    return companies


def _check_paths(order: Order, spool: Path, report: Path | None) -> None:
    """Refuse one file for two purposes: keys would end up in what is no file of keys."""
    told = {
        "the companies": order.companies,
        "--keys-out": order.keys_out,
        "--journal": order.journal,
        "--spool": spool,
        "--report": report,
    }
    seen: dict[Path, str] = {}
    for name, path in told.items():
        if path is None:
            continue
        other = seen.setdefault(path.resolve(), name)
        if other != name:
            raise ConfigurationError(f"{name} and {other} are one file, {path}: name another.")
