"""The settings: every variable has a default, and whatever is malformed or unknown stops the start
with one line.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from worker import settings as settings_module
from worker.settings import VARIABLES, SettingsError, load, unsafe

ROOT = Path(__file__).parents[1]
NAMES = [variable.name for variable in VARIABLES]
SECRETS = [variable.name for variable in VARIABLES if variable.secret]
CONTRACT = {
    "REDIS_URL": None,
    "LEDGER_URL": None,
    "COUNTERSIGN_PREFIX": None,
    "RELOGRADE_URL": "https://connect.relograde.com",
    "RELOGRADE_API_VERSION": "1.02",
    "RELOGRADE_API_KEY": None,
    "RELOGRADE_ACCOUNTS": (),
    "RELOGRADE_CALLS_PER_MINUTE": 50,
    "RELOGRADE_MAX_IN_FLIGHT": 60,
    "RELOGRADE_CONNECT_TIMEOUT": 5.0,
    "RELOGRADE_READ_TIMEOUT": 45.0,
    "RELOGRADE_SETTLE_SECONDS": 40.0,
    "RELOGRADE_CONFIRM_WITHIN_SECONDS": 86400.0,
    "RELOGRADE_DEADLINE_MARGIN_SECONDS": 30.0,
    "RELOGRADE_RECHECK_SECONDS": (15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0),
    "RELOGRADE_PENDING_LIMIT_SECONDS": 604800.0,
    "RELOGRADE_BATCH_RECHECK": True,
    "RELOGRADE_REQUEUE_ON_FUNDS": False,
    "LOGITRAIL_URLS": (
        "https://api-1.logitrail.com/2015-01-01",
        "https://api-2.logitrail.com/2015-01-01",
    ),
    "LOGITRAIL_MERCHANT_ID": None,
    "LOGITRAIL_SECRET": None,
    "LOGITRAIL_CALLS_PER_MINUTE": 0,
    "LOGITRAIL_MAX_IN_FLIGHT": 60,
    "LOGITRAIL_CONNECT_TIMEOUT": 5.0,
    "LOGITRAIL_READ_TIMEOUT": 30.0,
    "LOGITRAIL_SETTLE_SECONDS": 60.0,
    "LOGITRAIL_GIVE_UP_SECONDS": 259200.0,
    "RETRY_SECONDS": (2.0, 10.0, 30.0, 60.0, 300.0, 900.0),
    "DEADLINE_WARNING_SECONDS": 7200.0,
    "RETENTION_DAYS": 30.0,
    "OUTCOME_TASK": None,
    "OUTCOME_QUEUE": None,
    "OUTCOME_URL": None,
    "OUTCOME_SECRET": None,
    "VOUCHER_PUBLIC_KEY": None,
    "COUNTERSIGN_UNSAFE": (),
    "FLOWER_BASIC_AUTH": None,
}


def refusal(environment, **variables):
    """The one line with which a start ends."""
    for name, value in variables.items():
        environment.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load()
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_every_variable_has_a_default_and_a_meaning(environment):
    """An empty environment starts; the defaults are those of the contract."""
    settings = load()
    for name, default in CONTRACT.items():
        value = getattr(settings, name.lower())
        if default is not None:
            assert value == default, name
    assert all(variable.meaning for variable in VARIABLES)
    assert len(set(NAMES)) == len(NAMES)


def test_the_variables_are_those_of_the_contract():
    """One more is ours alone: how many threads a process has."""
    assert set(NAMES) == {*CONTRACT, "COUNTERSIGN_CONCURRENCY"}


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_variable_means_its_default(environment, name):
    """As docker-compose passes what nobody set."""
    default = getattr(load(), name.lower())
    environment.setenv(name, "")
    assert getattr(load(), name.lower()) == default


KINDS = {
    "seconds": ["soon", "-1", "nan", "inf", "5s", "1,5"],
    "count": ["many", "-1", "1.5", "1e3", "nan"],
    "schedule": ["2,soon", "0,10", "2,,10", "-2", "nan", "inf"],
    "switch": ["perhaps", "2", "yes please"],
    "url": [
        "ftp://example.com",
        "example.com",
        "http://",
        "http://user:pass@example.com",
        "http://[::1",
    ],
    "urls": ["ftp://example.com", "https://a.example,nonsense", ",", "https://user:pass@a.example"],
    "redis": ["http://127.0.0.1", "127.0.0.1:6379", "amqp://x"],
    "prefix": ["a:b", "{a}", "a b", "x" * 65],
    "names": ["a,a", "A", "a b", "a-b", "ä"],
}
MALFORMED = [
    (variable.name, value)
    for variable in VARIABLES
    for value in KINDS.get(variable.kind, ())
    if not variable.secret
]


@pytest.mark.parametrize(("name", "value"), MALFORMED)
def test_a_malformed_variable_stops_the_start_by_its_name(environment, name, value):
    """One line, which does not repeat a value that may hold a password."""
    line = refusal(environment, **{name: value})
    assert line.startswith(f"{name}: ")
    assert "pass@" not in line


NOT_SEEN = [
    (
        "VOUCHER_PUBLIC_KEY",
        "no key",
        "every task then fails on first use of the executor, and its message is lost",
    ),
    (
        "VOUCHER_PUBLIC_KEY",
        "00" * 32,
        "every task then fails on first use of the executor, and its message is lost",
    ),
    ("FLOWER_BASIC_AUTH", "nopassword", "a password without its user is taken as it is"),
    (
        "REDIS_URL",
        "redis://127.0.0.1:port/0",
        "redis.from_url() raises ValueError later: a traceback, not one line",
    ),
    ("REDIS_URL", "redis://127.0.0.1:6379/first", "redis-py silently takes database 0"),
    ("LEDGER_URL", "redis://127.0.0.1:99999/0", "a port that does not exist"),
    ("RELOGRADE_URL", "https://example.com:port", "every call then fails, order by order"),
    ("RELOGRADE_MAX_IN_FLIGHT", "0", "nothing would ever be sent"),
    ("LOGITRAIL_MAX_IN_FLIGHT", "0", "nothing would ever be sent"),
]


@pytest.mark.parametrize(
    ("name", "value"),
    [pytest.param(name, value) for name, value, why in NOT_SEEN],
)
def test_what_cannot_work_stops_the_start(environment, name, value):
    """And not the first order."""
    assert refusal(environment, **{name: value}).startswith(f"{name}: ")


@pytest.mark.parametrize("secret", ["whsec_!!!", "not base64 at all", "whsec_é"])
def test_a_malformed_outcome_secret_stops_the_start(environment, secret):
    """A worker that cannot sign must not look alive."""
    line = refusal(environment, OUTCOME_URL="https://shop.example/outcomes", OUTCOME_SECRET=secret)
    assert line.startswith("OUTCOME_SECRET: ")
    assert secret not in line


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"OUTCOME_URL": "https://shop.example/o"}, "OUTCOME_SECRET"),
        ({"RELOGRADE_ACCOUNTS": "a,b", "RELOGRADE_API_KEY_A": "key"}, "RELOGRADE_API_KEY_B"),
        ({"RELOGRADE_CONNECT_TIMEOUT": "0"}, "RELOGRADE_CONNECT_TIMEOUT"),
        ({"LOGITRAIL_READ_TIMEOUT": "0"}, "LOGITRAIL_READ_TIMEOUT"),
        ({"COUNTERSIGN_CONCURRENCY": "4"}, "COUNTERSIGN_CONCURRENCY"),
        ({"RELOGRADE_API_KEY_C": "key"}, "RELOGRADE_API_KEY_C"),
        (
            {"RELOGRADE_ACCOUNTS": "a", "RELOGRADE_API_KEY_A": "k", "RELOGRADE_API_KEY_AA": "k"},
            "RELOGRADE_API_KEY_AA",
        ),
        ({"RELOGRADE_URl": "https://x.example"}, "RELOGRADE_URl"),
        ({"RELOGRADE_CALLS_PER_MINTE": "50"}, "RELOGRADE_CALLS_PER_MINTE"),
        ({"LOGITRAIL_URL": "https://x.example"}, "LOGITRAIL_URL"),
        ({"OUTCOME_TASKS": "t"}, "OUTCOME_TASKS"),
        ({"COUNTERSIGN_": ""}, "COUNTERSIGN_"),
        ({"OUTCOME_URL_FILE": "/dev/null"}, "OUTCOME_URL_FILE"),
    ],
)
def test_a_missing_or_unknown_variable_stops_the_start_by_its_name(environment, variables, named):
    """A typing error cannot silently mean a default."""
    assert refusal(environment, **variables).startswith(f"{named}: ")


UNSAFE = [
    ("RELOGRADE_SETTLE_SECONDS", "29.9"),
    ("LOGITRAIL_SETTLE_SECONDS", "0"),
    ("RELOGRADE_CONFIRM_WITHIN_SECONDS", "864000"),
    ("RELOGRADE_DEADLINE_MARGIN_SECONDS", "86400"),
    ("RELOGRADE_PENDING_LIMIT_SECONDS", "0"),
    ("RELOGRADE_PENDING_LIMIT_SECONDS", "15"),
    ("LOGITRAIL_GIVE_UP_SECONDS", "0"),
    ("LOGITRAIL_GIVE_UP_SECONDS", "60"),
    ("RETRY_SECONDS", "2,0.001"),
    ("LOGITRAIL_URLS", "https://a.example,https://b.example,https://a.example/"),
    ("RETENTION_DAYS", "0.5"),
    ("RELOGRADE_READ_TIMEOUT", "1000"),
    ("RELOGRADE_CONNECT_TIMEOUT", "121"),
    ("LOGITRAIL_READ_TIMEOUT", "1000"),
    ("LOGITRAIL_CONNECT_TIMEOUT", "1000"),
]


@pytest.mark.parametrize(("name", "value"), UNSAFE)
def test_an_unsafe_value_stops_the_start_unless_it_is_named(environment, name, value):
    """With the remedy; other variables that are named excuse nothing (core 20)."""
    others = ",".join({other for other, _ in UNSAFE} - {name})
    line = refusal(environment, **{name: value, "COUNTERSIGN_UNSAFE": others})
    assert line.startswith(f"{name}: ")
    assert line.endswith(", or name it in COUNTERSIGN_UNSAFE")
    environment.setenv("COUNTERSIGN_UNSAFE", f"{name}, FLOWER_BASIC_AUTH")
    [found] = unsafe(load())
    assert found.variable == name
    assert found.remedy


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://localhost:9", "http://[::1]:9"])
@pytest.mark.parametrize("name", ["RELOGRADE_URL", "LOGITRAIL_URLS"])
def test_a_trial_on_this_machine_starts_with_any_times(environment, name, url):
    """Its supplier is a stand-in: no order is real. `doctor` still reports them."""
    environment.setenv(name, url)
    environment.setenv("RETRY_SECONDS", "0.3")
    environment.setenv("RELOGRADE_SETTLE_SECONDS", "1")
    assert [found.variable for found in unsafe(load())] == [
        "RELOGRADE_SETTLE_SECONDS",
        "RETRY_SECONDS",
    ]


def test_the_defaults_are_safe(environment):
    """Nobody has to know the rules who changes nothing."""
    assert list(unsafe(load())) == []


def test_only_settings_can_be_named_as_unsafe(environment):
    """A typing error there would stop the next start for another reason."""
    line = refusal(environment, COUNTERSIGN_UNSAFE="RETRY_SECOND")
    assert line.startswith("COUNTERSIGN_UNSAFE: ")
    assert "RETRY_SECOND" in line


@pytest.mark.parametrize(
    "keys",
    [
        {"RELOGRADE_API_KEY_A": "same-key", "RELOGRADE_API_KEY_B": "same-key"},
        {
            "RELOGRADE_API_KEY": "same-key",
            "RELOGRADE_API_KEY_A": "other",
            "RELOGRADE_API_KEY_B": "same-key",
        },
    ],
)
def test_one_key_under_two_names_stops_the_start(environment, keys):
    """The supplier counts by key: each name would have a budget of its own (core 9)."""
    line = refusal(environment, RELOGRADE_ACCOUNTS="a,b", **keys)
    assert line.startswith("RELOGRADE_API_KEY_B: ")
    assert "same-key" not in line


def test_what_is_not_ours_is_left_alone(environment):
    """The machine's own variables, and Celery's."""
    for name in ("RELOGRADER", "CELERY_BROKER", "FLOWER_PORT", "RETRY_SECOND", "MY_OUTCOME_URL"):
        environment.setenv(name, "x")
    load()


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_may_come_from_a_file(environment, tmp_path, name):
    """As Docker and Kubernetes mount it, with the line break that an editor leaves."""
    file = tmp_path / "secret"
    text = {
        "REDIS_URL": "redis://h/1",
        "LEDGER_URL": "redis://h/1",
        "FLOWER_BASIC_AUTH": "u:p",
    }.get(name, "whsec_c2VjcmV0")
    file.write_text(f"{text}\n")
    environment.setenv(f"{name}_FILE", str(file))
    assert getattr(load(), name.lower()) == text


def test_the_key_of_an_account_may_come_from_a_file(environment, tmp_path):
    """Beside one that stands in the environment."""
    (tmp_path / "key").write_text("key-a\n")
    environment.setenv("RELOGRADE_ACCOUNTS", "a,b")
    environment.setenv("RELOGRADE_API_KEY_A_FILE", str(tmp_path / "key"))
    environment.setenv("RELOGRADE_API_KEY_B", "key-b")
    assert load().relograde_keys == {"a": "key-a", "b": "key-b"}


def test_a_secret_twice_or_from_a_file_that_is_not_there_stops_the_start(environment, tmp_path):
    """Nobody should have to guess which one counts."""
    file = tmp_path / "secret"
    file.write_text("one")
    environment.setenv("LOGITRAIL_SECRET_FILE", str(file))
    assert refusal(environment, LOGITRAIL_SECRET="two").startswith("LOGITRAIL_SECRET: ")
    environment.delenv("LOGITRAIL_SECRET")
    for broken in (tmp_path / "none", tmp_path):
        line = refusal(environment, LOGITRAIL_SECRET_FILE=str(broken))
        assert line.startswith(("LOGITRAIL_SECRET", "LOGITRAIL_SECRET_FILE"))
    file.write_bytes(b"\xff\xfe\xff")
    assert refusal(environment, LOGITRAIL_SECRET_FILE=str(file)).startswith("LOGITRAIL_SECRET")


@pytest.mark.parametrize(
    ("variables", "accounts"),
    [
        ({}, (None,)),
        ({"RELOGRADE_API_KEY": "k"}, (None,)),
        (
            {"RELOGRADE_ACCOUNTS": "a, b", "RELOGRADE_API_KEY_A": "x", "RELOGRADE_API_KEY_B": "y"},
            ("a", "b"),
        ),
        (
            {"RELOGRADE_ACCOUNTS": "a", "RELOGRADE_API_KEY_A": "x", "RELOGRADE_API_KEY": "k"},
            (None, "a"),
        ),
    ],
)
def test_each_account_is_a_lane(environment, variables, accounts):
    """None is the unnamed one; Logitrail has that one only."""
    for name, value in variables.items():
        environment.setenv(name, value)
    assert load().accounts == {"relograde": accounts, "logitrail": (None,)}


@pytest.mark.parametrize(
    ("variables", "channels"),
    [
        ({}, ()),
        ({"OUTCOME_TASK": "shop.outcome"}, ("task",)),
        ({"OUTCOME_URL": "https://shop.example/", "OUTCOME_SECRET": "whsec_c2VjcmV0"}, ("post",)),
        (
            {
                "OUTCOME_TASK": "t",
                "OUTCOME_URL": "https://shop.example/",
                "OUTCOME_SECRET": "whsec_c2VjcmV0",
            },
            ("task", "post"),
        ),
    ],
)
def test_the_web_app_is_told_on_every_channel_that_is_set(environment, variables, channels):
    """Either or both."""
    for name, value in variables.items():
        environment.setenv(name, value)
    assert load().channels == channels


def test_settings_do_not_show_their_secrets(environment):
    """Neither by repr nor in a traceback's locals; an unknown attribute is an error."""
    environment.setenv("RELOGRADE_API_KEY", "a-real-key")
    settings = load()
    assert "a-real-key" not in f"{settings!r} {settings}"
    with pytest.raises(AttributeError):
        _ = settings.relograde_urls


def test_a_start_with_a_bad_variable_ends_with_one_line():
    """The whole program: one line on stderr, a failing exit code, no traceback."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(settings_module.PREFIXES)
    }
    done = subprocess.run(
        [str(Path(sys.executable).parent / "celery"), "-A", "worker", "worker"],
        cwd=ROOT,
        env={**environment, "RELOGRADE_READ_TIMEOUT": "long"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    assert len(lines) == 1
    assert re.match(r"countersign: RELOGRADE_READ_TIMEOUT: ", lines[0])


def test_the_readme_shows_every_variable():
    """The table is printed from the same rows, so it cannot drift; skipped until the generator
    exists.
    """
    done = subprocess.run(
        [sys.executable, "-m", "worker.settings"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if not done.stdout.strip():
        pytest.skip("no generator yet")
    assert done.returncode == 0
    assert all(f"`{name}`" in done.stdout for name in NAMES)
    assert done.stdout.strip() in (ROOT / "README.md").read_text(encoding="utf-8")
