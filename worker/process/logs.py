"""One JSON object a line: a static event name, data in fields, never a secret."""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime

TWO_LINES_A_MESSAGE = ("celery.worker.strategy", "celery.app.trace")
"""Celery's loggers of *received* and *succeeded*; our own line says what came of it.

With DEBUG they speak too.
"""


class JsonFormatter(logging.Formatter):
    """Makes `log.info("event", extra={"fields": {...}})` one object, without fields of None.

    Other libraries' lines keep their text.
    """

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        line = {
            **{name: value for name, value in fields.items() if value is not None},
            "at": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["where"] = "".join(traceback.format_tb(record.exc_info[2], limit=-6))
        return json.dumps(line, default=str)


def configure(level: int = logging.INFO) -> None:
    """Sends every log line of this process to stderr as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in TWO_LINES_A_MESSAGE:
        logging.getLogger(name).setLevel(
            level if level < logging.INFO else max(level, logging.WARNING)
        )
