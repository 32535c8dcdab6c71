# The page and the REST service in a container.
#
#   docker build -t tamperscope .
#   docker run --rm -p 127.0.0.1:8000:8000 -e TAMPERSCOPE_TOKEN="$(openssl rand -hex 16)" tamperscope
#
# PyTorch comes with its GPU libraries by default, several gigabytes. Where there is no GPU, name an
# index of CPU builds: docker build --build-arg EXTRA_INDEX=URL -t tamperscope .

FROM python:3.12-slim AS build

ARG EXTRA_INDEX=""
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH
WORKDIR /source
COPY pyproject.toml README.md LICENSE THIRD_PARTY.md ./
COPY src src
RUN pip install --no-cache-dir ${EXTRA_INDEX:+--extra-index-url "$EXTRA_INDEX"} '.[web,heif]'

FROM python:3.12-slim

COPY --from=build /venv /venv
RUN useradd --system --no-create-home --uid 10001 tamperscope
USER tamperscope
WORKDIR /tmp
# The root may be read-only: what is compiled at run time goes where something can be written.
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NUMBA_CACHE_DIR=/tmp/numba
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s CMD \
    ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
# A token must be in TAMPERSCOPE_TOKEN: the service does not listen for others without one.
ENTRYPOINT ["tamperscope", "serve", "--host", "0.0.0.0", "--port", "8000"]
