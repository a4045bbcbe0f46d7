"""Ports of the suppliers' own, which really close.

On the shared port a supplier that is down can only cut an accepted connection: an unknown outcome
for the client. Only a closed port *refuses* a connection, and then the call had no effect for sure.
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
        """Opens or closes the port; calls on open connections are refused in `visits.py`."""
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
