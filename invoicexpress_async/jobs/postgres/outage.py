"""The outage state that all processes of a journal share, and which of them probes the server."""

from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from invoicexpress_async.jobs.postgres.session import JournalSession

_FIRST_PAUSE_SECONDS: Final = 1
_MAX_PAUSE_SECONDS: Final = 60
# How long a probe is reserved: when the probing process dies, another one probes after this.
_PROBE_SECONDS: Final = 10


@attrs.frozen(kw_only=True)
class SharedOutage:
    """The state of the server as a whole, as all processes together know it.

    Attributes:
        seconds: How long it has failed for every account; None when it does not fail.
        is_ours_to_probe: Whether this process, and no other, is to probe it now.
    """

    seconds: float | None
    is_ours_to_probe: bool


async def share_outage(
    session: "JournalSession", token: str, *, is_failing: bool | None, may_probe: bool
) -> SharedOutage:
    """Report the state that this process sees, request the probe, and read the shared state."""
    # Imported here, because it needs the extra.
    from invoicexpress_async.jobs.postgres.connection import Message  # noqa: PLC0415  # of an extra

    message, outage = Message(), session.statements.name("outage")
    longer = f"least(pause * 2, {_MAX_PAUSE_SECONDS})"
    if is_failing:
        # Sent again after a lost response, it finds the outage recorded and the probe released.
        message.add(
            f"UPDATE {outage} SET since = coalesce(since, clock_timestamp()), "
            f"pause = CASE WHEN since IS NULL THEN {_FIRST_PAUSE_SECONDS} "
            f"WHEN token = %s THEN {longer} ELSE pause END, "
            "probe_at = CASE WHEN since IS NULL "
            f"THEN clock_timestamp() + {_FIRST_PAUSE_SECONDS} * interval '1 second' "
            f"WHEN token = %s THEN clock_timestamp() + {longer} * interval '1 second' "
            "ELSE probe_at END, token = nullif(token, %s)",
            token,
            token,
            token,
        )
    elif is_failing is not None:
        message.add(f"UPDATE {outage} SET since = NULL, token = NULL WHERE since IS NOT NULL")
    if may_probe:
        message.add(
            f"UPDATE {outage} SET token = %s, "
            f"token_until = clock_timestamp() + {_PROBE_SECONDS} * interval '1 second' "
            "WHERE since IS NOT NULL AND (token = %s OR (probe_at <= clock_timestamp() "
            "AND (token IS NULL OR token_until <= clock_timestamp())))",
            token,
            token,
        )
    message.add(
        "SELECT extract(epoch FROM clock_timestamp() - since)::double precision AS seconds, "
        f"coalesce(token = %s AND since IS NOT NULL, false)::int AS is_ours FROM {outage}",
        token,
    )
    ((found,),) = await session.side.execute(message)
    seconds = found["seconds"]
    return SharedOutage(
        seconds=None if seconds is None else max(0.0, float(seconds)),
        is_ours_to_probe=bool(found["is_ours"]),
    )
