"""`python -m sandbox`: both suppliers on one port, until Ctrl-C."""

import argparse
import asyncio
import json
import signal
from typing import Any

from sandbox.app import Address, serve
from sandbox.state import State


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox", description="Relograde and Logitrail on loopback."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument(
        "--port", type=int, default=8970, help="both suppliers and the admin routes"
    )
    parser.add_argument(
        "--relograde-port", type=int, help="a port of its own, closed while the outage is 'refuse'"
    )
    parser.add_argument("--logitrail-1-port", type=int, help="likewise, closed while host_1_down")
    parser.add_argument("--logitrail-2-port", type=int, help="likewise, closed while host_2_down")
    parser.add_argument("--seed", type=int, default=0, help="for the behaviour 'mix'")
    parser.add_argument(
        "--relograde-key",
        action="append",
        help="an API key; repeat for more (default: sandbox-key)",
    )
    parser.add_argument("--logitrail-merchant", default="sandbox")
    parser.add_argument("--logitrail-secret", default="sandbox-secret")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=_switch,
        metavar="SUPPLIER.SWITCH=JSON",
        help="a switch at the start",
    )
    return parser


def _switch(text: str) -> tuple[str, str, Any]:
    """Reads `relograde.hold_seconds=2`; a value that is no JSON is a string, without quotes."""
    path, _, value = text.partition("=")
    supplier, _, name = path.partition(".")
    if supplier not in ("relograde", "logitrail") or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not SUPPLIER.SWITCH=JSON")
    try:
        return supplier, name, json.loads(value)
    except ValueError:
        return supplier, name, value


def _state(options: argparse.Namespace) -> State:
    initial: dict[str, dict[str, Any]] = {}
    for supplier, name, value in options.set:
        initial.setdefault(supplier, {})[name] = value
    return State(
        seed=options.seed,
        relograde_keys=tuple(options.relograde_key or ["sandbox-key"]),
        logitrail_merchant=options.logitrail_merchant,
        logitrail_secret=options.logitrail_secret,
        initial=initial,
    )


async def _run(state: State, where: Address) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await serve(state, where, stop, lambda: print(_greeting(where), flush=True))


def _greeting(where: Address) -> str:
    def base(name: str) -> str:
        return f"http://{where.host}:{where.doors.get(name, where.port)}"

    hosts = ",".join(f"{base(name)}/{name}/2015-01-01" for name in ("logitrail-1", "logitrail-2"))
    return (
        f"RELOGRADE_URL={base('relograde')}/relograde\n"
        f"LOGITRAIL_URLS={hosts}\n"
        f"admin: {base('admin')}/_sandbox"
    )


def main() -> None:
    parser = _parser()
    options = parser.parse_args()
    ports = {
        "relograde": options.relograde_port,
        "logitrail-1": options.logitrail_1_port,
        "logitrail-2": options.logitrail_2_port,
    }
    try:
        state = _state(options)
    except ValueError as problem:
        parser.error(str(problem))
    doors = {name: port for name, port in ports.items() if port}
    asyncio.run(_run(state, Address(options.host, options.port, doors)))


if __name__ == "__main__":
    main()
