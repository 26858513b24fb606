"""Clients written in Rust, for `bench_hosts.py`: each knows the hosts of a server on loopback."""

import importlib
from datetime import timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final

from hosts_server import DOMAIN


def _ry(port: int, names: list[str], folder: Path) -> Any:  # noqa: ANN401  # an untyped module
    ry = importlib.import_module("ry")
    client = ry.Client(
        resolve={f"{name}.{DOMAIN}": [f"127.0.0.1:{port}"] for name in names},
        tls_certs_only=[ry.Certificate.from_pem((folder / "ca.pem").read_bytes())],
    )

    async def call(url: str, body: object) -> object:
        response = await (client.get(url) if body is None else client.post(url, json=body))
        return await response.json()

    return call


def _pyreqwest(port: int, names: list[str], folder: Path) -> Any:  # noqa: ANN401  # its builder
    module = importlib.import_module("pyreqwest.client")
    builder = module.ClientBuilder().add_root_certificate_pem((folder / "ca.pem").read_bytes())
    for name in names:
        builder = builder.resolve(f"{name}.{DOMAIN}", "127.0.0.1", port)
    client = builder.build()

    async def call(url: str, body: object) -> object:
        request = client.get(url) if body is None else client.post(url).body_json(body)
        response = await request.build().send()
        return await response.json()

    return call


def _wreq(port: int, names: list[str], folder: Path) -> Any:  # noqa: ANN401  # an untyped module
    del port
    wreq = importlib.import_module("wreq")
    names_of = wreq.DnsOptions()
    for name in names:
        names_of.add_resolve(f"{name}.{DOMAIN}", [IPv4Address("127.0.0.1")])
    store = wreq.CertStore.from_pem_stack((folder / "ca.pem").read_bytes())
    client = wreq.Client(
        dns_options=names_of, tls_verify=store, pool_idle_timeout=timedelta(seconds=90)
    )

    async def call(url: str, body: object) -> object:
        response = await (client.get(url) if body is None else client.post(url, json=body))
        return await response.json()

    return call


RUST: Final = {"ry": _ry, "pyreqwest": _pyreqwest, "wreq": _wreq}
