#!/bin/sh
# Dagster's configuration takes the password of its storage from the environment only; here it is in a file.
set -eu
if [ -n "${DAGSTER_POSTGRES_PASSWORD_FILE:-}" ]; then
  DAGSTER_POSTGRES_PASSWORD="$(cat "$DAGSTER_POSTGRES_PASSWORD_FILE")"
  export DAGSTER_POSTGRES_PASSWORD
fi
exec "$@"
