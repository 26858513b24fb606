"""One POST for each intent, with the senders on hosts that are cut off and frozen.

A host is a network namespace. It reaches PostgreSQL, which wants a password, by one cable, and the
API, over TLS, by another. The server accepts every create that it is sent.
"""

import asyncio
import json
import os
import signal
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import attrs
import pytest
import senders
import trustme
from hosts import ADDRESSES, Host
from job_process import Job, Running, start
from postgres_server import PostgresServer
from test_cli import PROGRAM, Ended, environment

from invoicexpress_async.provisioning import RunSettings
from invoicexpress_async.sandbox import FaultServer

AGAIN_SECONDS = 900.0
NAMES = tuple(f"a{number}" for number in range(12))


@attrs.define
class Site:
    """Two hosts, what they reach, and what is started on them."""

    hosts: tuple[Host, ...]
    on: FaultServer
    postgres: PostgresServer
    job: Job
    _running: list[Running] = attrs.field(factory=list[Running])

    @property
    def url(self) -> str:
        """Where the hosts find the journal."""
        assert self.job.url is not None
        return self.postgres.url_on_hosts(self.job.url)

    def start(self, host: Host, **changes: Any) -> Running:
        own = attrs.evolve(
            self.job,
            url=f"{self.url}?passfile={self.postgres.passwords}",
            name=f"host-{host.number}",
            namespace=host.namespace.path,
            **changes,
        )
        self._running.append(start(own))
        return self._running[-1]

    async def run(self, host: Host, *arguments: object) -> Ended:
        """Run the program as a person would on that host."""
        variables = {
            "PGPASSFILE": str(self.postgres.passwords),
            "SSL_CERT_FILE": str(self.job.authority),
            "INVOICEXPRESS_BASE_URL": self.job.base_url,
        }
        process = await asyncio.create_subprocess_exec(
            *host.program(*PROGRAM, *map(str, arguments)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(**variables),
        )
        out, err = await process.communicate()
        return Ended(process.returncode or 0, out.decode(), err.decode())

    async def finish(self, host: Host) -> None:
        """Do what is left, and send again what is absent, as if its waiting time were over."""
        moment = json.dumps([time.time() - 3 * AGAIN_SECONDS, 0, ""])
        aged = "UPDATE invoicexpress.rows SET intended_at = %s, absent_since = %s"
        self.postgres.ask(f"{aged} WHERE state <> 'done'", moment, moment, at=self.job.url)
        self.postgres.ask("UPDATE invoicexpress.slices SET due = NULL", at=self.job.url)
        again = RunSettings(resend_absent_after=AGAIN_SECONDS)
        assert await self.start(host, lease_seconds=60.0, settings=again).ended() == 0
        assert set(senders.states(self.postgres, self.job).values()) == {"done"}
        assert senders.posts(self.on) == {1}

    def end(self) -> None:
        for one in self._running:
            one.process.kill()
            one.process.join()


def inside(postgres: PostgresServer) -> AbstractContextManager[None]:
    """Be where the API is, to open its port."""
    assert postgres.namespace is not None
    return postgres.namespace.entered()


@pytest.fixture
async def on(
    hosts: tuple[Host, ...], postgres: PostgresServer, authority: trustme.CA
) -> AsyncIterator[FaultServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(ADDRESSES["api"]).configure_cert(context)
    server = senders.accepting(*NAMES, host=ADDRESSES["api"], ssl_context=context)
    await asyncio.to_thread(len, hosts)  # the loop's thread is to be none of the namespace
    with inside(postgres):
        await server.start()
    yield server
    await server.close()


@pytest.fixture
async def site(
    hosts: tuple[Host, ...],
    on: FaultServer,
    postgres: PostgresServer,
    authority: trustme.CA,
    tmp_path: Path,
) -> AsyncIterator[Site]:
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    job = senders.prepare(
        tmp_path,
        on,
        base_url=f"https://{on.host}:{on.port}/{{account}}",
        url=postgres.database(),
        authority=tmp_path / "authority.pem",
        read_after_seconds=senders.READ_AFTER_SECONDS,
    )
    site = Site(hosts, on, postgres, job)
    yield site
    site.end()


async def test_two_hosts_that_run_one_job_send_each_row_once(site: Site) -> None:
    running = [site.start(host) for host in site.hosts]

    codes = await senders.have_ended(*running)

    assert codes == [0, 0]
    assert [set(one.reported().states.values()) for one in running] == [{"done"}] * 2
    assert senders.posts(site.on) == {1}


async def test_the_programs_of_two_hosts_need_a_file_of_passwords_and_one_of_certificates(
    site: Site,
) -> None:
    await senders.plan(site.job)
    worker = ("worker", "--journal", site.url, "--keys", f"file:{site.job.plan}", "--until-done")

    ends = await asyncio.gather(*(site.run(host, *worker) for host in site.hosts))

    assert [end.code for end in ends] == [0, 0], ends
    assert set(senders.states(site.postgres, site.job).values()) == {"done"}
    assert senders.posts(site.on) == {1}


async def test_what_a_host_sent_before_it_was_cut_off_from_the_database_is_not_sent_by_the_other(
    site: Site,
) -> None:
    one, other = site.hosts
    await senders.plan(site.job)
    site.on.faults.clear()
    site.on.faults.next("timeout", operation="create", commits="late", times=2)
    cut_off = site.start(one, lease_seconds=1.0, concurrency=2, attempt_seconds=4.0)
    await senders.until(lambda: sum(map(site.on.oracle.posts, NAMES)) == 2)
    one.cut("database")
    await senders.until_the_leases_end(site.postgres, site.job)

    code = await site.start(other, lease_seconds=1.0).ended()
    found = Counter(senders.states(site.postgres, site.job).values())
    await site.on.commit_late()
    one.heal("database")

    assert (code, await cut_off.ended()) == (0, 0)
    assert found == {"done": len(NAMES) - 2, "absent": 2}
    await site.finish(one)


async def test_a_host_that_is_cut_off_from_the_api_reads_for_what_it_has_sent(site: Site) -> None:
    one, _ = site.hosts
    site.on.faults.clear()
    site.on.faults.next("latency", operation="create", seconds=2.5, times=None)
    running = site.start(one, attempt_seconds=3.0, read_after_seconds=(0.5, 1.0, 2.0, 4.0, 8.0))
    await senders.until(lambda: senders.posts(site.on) == {1})
    one.cut("api")
    await senders.until(lambda: all(site.on.sequences(name) for name in NAMES))
    reads = site.on.count("GET", "/sequences.json")
    with inside(site.postgres):  # the responses that are under way are lost
        await site.on.go_down()
        await site.on.go_up()

    one.heal("api")

    assert await running.ended() == 0
    assert set(running.reported().states.values()) == {"done"}
    assert site.on.count("GET", "/sequences.json") >= reads + len(NAMES)
    assert senders.posts(site.on) == {1}


async def test_a_host_that_is_frozen_for_longer_than_its_hold_sends_nothing_when_it_wakes(
    site: Site,
) -> None:
    one, other = site.hosts
    await senders.plan(site.job)
    frozen = site.start(one, lease_seconds=1.0, concurrency=2)
    await senders.until(lambda: 1 in senders.posts(site.on))
    os.kill(frozen.pid, signal.SIGSTOP)
    second = site.start(other, lease_seconds=1.0)
    await second.ended()
    requests = len(site.on.requests)

    os.kill(frozen.pid, signal.SIGCONT)
    code = await frozen.ended()

    assert (code, len(site.on.requests)) == (0, requests)
    assert frozen.reported().problem is not None
    senders.check(site.on, site.postgres, site.job)
    await site.finish(other)


async def test_services_of_two_hosts_that_ensure_the_same_series_at_once_send_once(
    site: Site,
) -> None:
    # Who loses a claim reads for what the other has sent.
    patient = {"total_seconds": 60.0, "read_after_seconds": (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)}
    running = [site.start(host, is_service=True, **patient) for host in site.hosts]

    codes = await senders.have_ended(*running)

    assert codes == [0, 0]
    assert running[0].reported().states == running[1].reported().states
    assert senders.posts(site.on) == {1}
