"""What Flower is told (`--conf`): it only looks; without a password it listens on loopback.

Flower runs this file with the module's names as its options, after it has read FLOWER_* and the
command line. Celery's events are all that it shows; the doors keep out of them what must not be
shown.
"""

from ipaddress import ip_address as _ip_address

from tornado.options import options as _given

from worker.settings import SettingsError as _SettingsError
from worker.settings import load as _load


def _password() -> str:
    try:
        return str(_load().flower_basic_auth)
    except _SettingsError as problem:
        raise SystemExit(str(problem)) from None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return _ip_address(host).is_loopback
    except ValueError:
        return False


_auth = _password()
if _auth and not all(_auth.partition(":")):
    raise SystemExit("FLOWER_BASIC_AUTH: must be user:password")

basic_auth = [_auth] if _auth else []
address = _given.address or ("0.0.0.0" if _auth else "127.0.0.1")  # noqa: S104 - behind the password
port = _given.port
if not _auth and not _is_loopback(address):
    raise SystemExit(
        f"FLOWER_BASIC_AUTH: is missing, and FLOWER_ADDRESS {address} can be reached by others"
    )

read_only = True  # a page that can revoke tasks or stop workers is no place to watch from
persistent = False  # its database on disk would outlive RETENTION_DAYS
broker_api = None
enable_events = True
max_tasks = 10_000
purge_offline_workers = 3600  # seconds; a scaled-down worker leaves the page
natural_time = False
tasks_columns = "name,kwargs,state,received,started,runtime,worker"
