# Engage ETL in a container: one image for the code location, the web servers, the daemon and the runs.
# docs/deploy.md says how to use it, and what was tried of it.

FROM python:3.11-slim-bookworm AS wheel
# Pinned versions with hashes, of what builds the package among others; nothing of this stage gets into the image.
WORKDIR /build
COPY requirements.lock ./
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY dbt dbt
COPY data/samples data/samples
COPY engage_etl engage_etl
RUN hatchling build -t wheel

FROM python:3.11-slim-bookworm AS installed
WORKDIR /build
COPY requirements.runtime.lock ./
RUN python -m venv /opt/engage-etl \
    && /opt/engage-etl/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes \
    -r requirements.runtime.lock
COPY --from=wheel /build/dist dist
RUN /opt/engage-etl/bin/pip install --no-cache-dir --disable-pip-version-check --no-index --no-deps dist/*.whl

FROM python:3.11-slim-bookworm
# GnuPG decrypts files. Its version is that of the image's Debian, which is updated with the image.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends gnupg \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 engage \
    && useradd --uid 10001 --gid engage --no-log-init --home-dir /var/lib/engage-etl --no-create-home engage \
    && install -d -o engage -g engage -m 700 /var/lib/engage-etl
COPY --from=installed /opt/engage-etl /opt/engage-etl
# Whoever starts Dagster's web server by its name, as Dagster's Helm chart does, gets ours.
COPY --chmod=755 deploy/docker/dagster-webserver /opt/engage-etl/bin/dagster-webserver
ENV PATH=/opt/engage-etl/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ENGAGE_DATA_DIR=/var/lib/engage-etl \
    DAGSTER_HOME=/var/lib/engage-etl/dagster
USER 10001:10001
WORKDIR /var/lib/engage-etl
VOLUME /var/lib/engage-etl
EXPOSE 3000
# Of a web server; other services say in compose.yaml how they are.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:3000/server_info', timeout=4)"]
CMD ["dagster-webserver", "-h", "0.0.0.0", "-p", "3000"]
