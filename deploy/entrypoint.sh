#!/bin/sh
# Dagster's configuration can take the password of its storage only from the environment, and it is in a file.
set -eu
# As iot_platform/security/private_files.py: new files are for this user alone.
umask 077
if [ -n "${DAGSTER_POSTGRES_PASSWORD_FILE:-}" ]; then
  DAGSTER_POSTGRES_PASSWORD="$(cat "$DAGSTER_POSTGRES_PASSWORD_FILE")"
  export DAGSTER_POSTGRES_PASSWORD
fi
exec "$@"
