"""A run of the checks on one account: its requests, responses and findings."""

from collections.abc import Collection
from enum import StrEnum

import attrs

from invoicexpress_async.live_check.description import Description
from invoicexpress_async.live_check.probe import NoReplyError, Probe, ProbeRequest, Reply


class Verdict(StrEnum):
    """How a finding compares with the assumption."""

    AS_ASSUMED = "as assumed"
    NEW = "new"
    """Not described, or not known before; the client can handle it."""
    DIFFERS = "differs"
    NO_RESPONSE = "no response"
    UNKNOWN = "unknown"
    """A request with an effect was sent, and no response shows whether it took effect."""
    SKIPPED = "skipped"


@attrs.frozen(kw_only=True)
class Finding:
    """One line of the result; `found` contains no value of the account."""

    check: str
    verdict: Verdict
    found: str


@attrs.frozen(kw_only=True)
class Exchange:
    """A request and its response; None without a complete one."""

    check: str
    request: ProbeRequest
    reply: Reply | None


@attrs.define(kw_only=True, eq=False)
class Inspection:
    """Sends requests, keeps every exchange, and collects the findings."""

    probe: Probe
    description: Description = attrs.field(factory=Description)
    findings: list[Finding] = attrs.field(factory=list[Finding], init=False)
    exchanges: list[Exchange] = attrs.field(factory=list[Exchange], init=False)

    def note(self, check: str, verdict: Verdict, found: str) -> None:
        """Add a finding."""
        # A server may use the key as the name of a field.
        shown = self.probe.key.redact(found.encode()).decode()
        self.findings.append(Finding(check=check, verdict=verdict, found=shown))

    def agree(self, check: str, found: str, *, is_as_assumed: bool) -> None:
        """Add a finding that is as assumed or differs."""
        self.note(check, Verdict.AS_ASSUMED if is_as_assumed else Verdict.DIFFERS, found)

    def skip(self, checks: Collection[str], why: str) -> None:
        """Add checks that were not made."""
        for check in checks:
            self.note(check, Verdict.SKIPPED, why)

    def send(self, check: str, request: ProbeRequest) -> Reply | None:
        """Send a request once. Without a response, add a finding and return None."""
        try:
            reply = self.probe.send(request)
        except NoReplyError as error:
            self._add_failure(check, request, error.reason, was_sent=error.was_sent)
            return None
        except KeyboardInterrupt:
            self._add_failure(check, request, "interrupted", was_sent=True)
            raise
        self.exchanges.append(Exchange(check=check, request=request, reply=reply))
        return reply

    def _add_failure(
        self, check: str, request: ProbeRequest, reason: str, *, was_sent: bool
    ) -> None:
        self.exchanges.append(Exchange(check=check, request=request, reply=None))
        if was_sent and request.may_have_effect:
            text = f"{reason}; it may have taken effect: do not send it again"
            self.note(check, Verdict.UNKNOWN, text)
        else:
            self.note(check, Verdict.NO_RESPONSE, reason)

    def judge(self, check: str, operation: str, reply: Reply, *, statuses: Collection[int]) -> bool:
        """Compare a response with the description; return whether its status was expected."""
        found = self.description.compare(operation, reply)
        text = f"{reply.status}, {found.form}"
        if reply.status not in statuses:
            expected = " or ".join(map(str, sorted(statuses)))
            self.note(check, Verdict.DIFFERS, f"{text}; expected {expected}")
            return False
        if not found.is_described:
            self.note(check, Verdict.DIFFERS, f"{text}; not as described: {found.problem}")
        elif found.new_names:
            names = ", ".join(found.new_names)
            self.note(check, Verdict.NEW, f"{text}; fields not described: {names}")
        else:
            self.note(check, Verdict.AS_ASSUMED, text)
        return True
