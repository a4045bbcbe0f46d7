"""Which client speaks for a lane, and the rules and limits of each supplier, from the settings."""

from schemas.lane import Lane
from worker.ledger.limits import LaneLimits
from worker.rules.policy import Policy
from worker.rules.words import Rules
from worker.settings import CallSettings, Settings
from worker.suppliers.client import Client
from worker.suppliers.logitrail import Logitrail
from worker.suppliers.relograde import Relograde
from worker.suppliers.sealing import Sealer


def policies(settings: Settings) -> dict[str, Policy]:
    """The policy of each supplier."""
    relograde = Rules(
        reads=True,
        settle=settings.relograde_settle_seconds,
        confirm_within=settings.relograde_confirm_within_seconds,
        margin=settings.relograde_deadline_margin_seconds,
        recheck=settings.relograde_recheck_seconds,
        pending_limit=settings.relograde_pending_limit_seconds,
        retry=settings.retry_seconds,
    )
    logitrail = Rules(
        reads=False,
        settle=settings.logitrail_settle_seconds,
        give_up=settings.logitrail_give_up_seconds,
        retry=settings.retry_seconds,
        hosts=len(settings.logitrail_urls),
    )
    return {"relograde": Policy(relograde), "logitrail": Policy(logitrail)}


def limits(settings: Settings) -> dict[str, LaneLimits]:
    """What each supplier's lanes may do."""
    # Without a limit there is nothing that a page could save.
    pages = settings.relograde_batch_recheck and settings.relograde_calls_per_minute > 0
    return {
        "relograde": _limits(settings.calls["relograde"], accounts=True, pages=pages),
        "logitrail": _limits(settings.calls["logitrail"]),
    }


def _limits(calls: CallSettings, *, accounts: bool = False, pages: bool = False) -> LaneLimits:
    return LaneLimits(
        calls_per_minute=calls.calls_per_minute,
        max_in_flight=calls.max_in_flight,
        call_budget=calls.connect_timeout + calls.read_timeout,
        accounts=accounts,
        pages=pages,
    )


def clients(settings: Settings) -> dict[Lane, Client]:
    """One client a lane; each keeps its connections open."""
    sealer = Sealer.from_key(settings.voucher_public_key)
    made: dict[Lane, Client] = {
        Lane("relograde", account): Relograde(
            settings.relograde_url,
            settings.relograde_api_version,
            key,
            settings.relograde_connect_timeout,
            settings.relograde_read_timeout,
            pool_size=settings.countersign_concurrency,
            seal=sealer.seal if sealer else None,
        )
        for account, key in settings.relograde_keys.items()
    }
    made[Lane("logitrail")] = Logitrail(
        settings.logitrail_urls,
        settings.logitrail_merchant_id,
        settings.logitrail_secret,
        settings.logitrail_connect_timeout,
        settings.logitrail_read_timeout,
        pool_size=settings.countersign_concurrency,
    )
    return made
