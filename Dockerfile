# The service: web and workers are commands of one image. See docker-compose.yml.
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

RUN useradd --create-home --uid 1000 labelqueue \
    && install -d -o labelqueue -g labelqueue /data

WORKDIR /src

# The heavy dependencies change rarely, so they come before our own code: torch alone is most of the image.
COPY constraints.txt overrides.txt ./
RUN pip install -c constraints.txt torch torchvision timm scikit-learn

COPY setup.py pyproject.toml README.md LICENSE NOTICE ./
COPY backend backend
COPY selectors selectors
RUN pip install -c constraints.txt ".[parquet]" && pip install --no-deps -r overrides.txt

USER labelqueue
WORKDIR /data
ENV LABELQUEUE_HOME=/data HOST=0.0.0.0 PORT=9090
VOLUME /data
EXPOSE 9090

# /health needs no password and tells nothing.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health', timeout=2)"]

ENTRYPOINT ["labelqueue"]
CMD ["serve"]
