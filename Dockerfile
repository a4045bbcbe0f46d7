# One image runs the worker, Flower and the commands: `docker build .`
# The stand-in suppliers need the requirements of the demo, so they have a stage of their own: `--target sandbox`.

FROM python:3.13.13-slim AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --system --uid 10001 --no-create-home countersign
WORKDIR /app

FROM base AS sandbox
COPY requirements-demo.txt ./
RUN pip install --require-hashes --only-binary :all: -r requirements-demo.txt
COPY sandbox ./sandbox
USER countersign
STOPSIGNAL SIGTERM
CMD ["python", "-m", "sandbox", "--host", "0.0.0.0"]

FROM base AS app
COPY requirements.txt ./
RUN pip install --require-hashes --only-binary :all: -r requirements.txt
COPY pyproject.toml README.md ./
COPY schemas ./schemas
COPY worker ./worker
COPY tasks ./tasks
# Editable, so that there is one copy of the code; it makes `celery -A worker orders` and its sisters known.
RUN pip install --no-deps -e .
USER countersign
STOPSIGNAL SIGTERM
CMD ["celery", "-A", "worker", "worker", "--loglevel=INFO", "--without-mingle", "--without-gossip", "-Q", "orders,relograde,logitrail"]
