FROM python:3.13-slim
WORKDIR /srv/patchbay
COPY pyproject.toml requirements.lock ./
# The lock holds the development tools as well; only what pyproject.toml names for running is installed, at its versions.
RUN pip install --no-cache-dir uv==0.13.9 \
 && uv pip install --system --no-cache --compile-bytecode -c requirements.lock -r pyproject.toml
COPY . .
RUN useradd --system patchbay
USER patchbay
EXPOSE 8000
CMD ["gunicorn", "-c", "python:app.devstack.gunicorn", "-b", "0.0.0.0:8000", "wsgi:app"]
