# The same steps as `make run`, in an image. Data lives in the volume /data.
FROM python:3.11-slim

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --uid 1000 --create-home tandem && mkdir /data && chown tandem /data
WORKDIR /home/tandem/app
COPY --chown=tandem . .
USER 1000

# Pass --build-arg PIP_EXTRA_INDEX_URL=... to take torch from an index with a small CPU build.
ARG PIP_EXTRA_INDEX_URL
RUN make install

ENV TANDEM_DATA_DIR=/data \
    TANDEM_HOST=0.0.0.0
VOLUME /data
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD [".venv/bin/python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/api/v1/health')"]
CMD [".venv/bin/tandem", "serve"]
