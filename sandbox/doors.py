"""Ports of the suppliers' own, which really close.

On the shared port a supplier that is down can only cut a connection that was made already: to the
client that is an unknown outcome. A connection that is *refused* had no effect for sure, which is
another answer, and only a closed port gives it.
"""

import socket
from dataclasses import dataclass, field

from aiohttp import web

from sandbox.switches import LogitrailSwitches, RelogradeSwitches

NAMES = ("relograde", "logitrail-1", "logitrail-2")


@dataclass
class Door:
    name: str
    host: str
    port: int
    runner: web.AppRunner
    site: web.TCPSite | None = field(default=None)

    async def follow(self, relograde: RelogradeSwitches, logitrail: LogitrailSwitches) -> None:
        """Open while its supplier is up; whoever is already inside is cut off by the entrance."""
        if _is_down(self.name, relograde, logitrail):
            await self.close()
        elif self.site is None:
            self.site = web.TCPSite(self.runner, self.host, self.port, reuse_address=True)
            await self.site.start()

    async def close(self) -> None:
        if self.site is not None:
            await self.site.stop()
            self.site = None


def _is_down(name: str, relograde: RelogradeSwitches, logitrail: LogitrailSwitches) -> bool:
    if name == "relograde":
        return relograde.outage == "refuse"
    down = logitrail.host_1_down if name.endswith("1") else logitrail.host_2_down
    return down or logitrail.outage == "refuse"


def free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
