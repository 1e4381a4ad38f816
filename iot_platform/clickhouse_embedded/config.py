"""Write the configuration files of the engine, before each start."""

from __future__ import annotations

import os
from pathlib import Path
from xml.sax.saxutils import escape

from iot_platform.clickhouse_embedded.private_files import private_directory

KEEP_LOGS_DAYS = 7

# Grants for work inside the database only: no sources, shutdown, backups, users. The engine enforces them for all SQL.
# guard.py refuses the same statements earlier and with clearer messages, and refuses further ones.
_USERS = """<clickhouse>
  <profiles><default>
    <constraints>
{constraints}
    </constraints>
  </default></profiles>
  <users><default>
    <password></password>
    <networks><ip>::1</ip><ip>127.0.0.1</ip></networks>
    <profile>default</profile>
    <quota>default</quota>
    <grants>
      <query>GRANT SHOW, SHOW ROW POLICIES, SELECT, INSERT, ALTER, CREATE, DROP, UNDROP TABLE, TRUNCATE, OPTIMIZE,
        CHECK, KILL QUERY, MOVE PARTITION BETWEEN SHARDS, dictGet, SYSTEM RELOAD DICTIONARY, SYSTEM RELOAD FUNCTION,
        SYSTEM FLUSH,
        SYSTEM MERGES, SYSTEM TTL MERGES, SYSTEM MOVES, SYSTEM CLEANUP, SYSTEM VIEWS, SYSTEM DROP CACHE,
        SYSTEM WAIT LOADING PARTS, SYSTEM LOAD PRIMARY KEY, SYSTEM UNLOAD PRIMARY KEY, SYSTEM SYNC FILE CACHE,
        SYSTEM JEMALLOC ON *.*</query>
      <query>GRANT SET DEFINER ON *</query>
      <query>REVOKE DROP, TRUNCATE, ALTER, INSERT, CREATE TABLE, CREATE DICTIONARY ON system.*</query>
      <query>REVOKE CREATE NAMED COLLECTION ON *</query>
    </grants>
  </default></users>
  <quotas><default/></quotas>
</clickhouse>
"""

# Settings that read files, connect to other hosts, run SQL in a string or write to the server's terminal.
_FIXED_SETTINGS = (
    "dialect", "format_schema", "format_schema_source", "format_template_row", "format_template_resultset",
    "format_avro_schema_registry_url", "allow_experimental_eval_table_function", "send_logs_level",
)  # fmt: skip

_SERVER = """<clickhouse>
  <users_config>{users}</users_config>
  <max_server_memory_usage>{memory}</max_server_memory_usage>
  <mark_cache_size>{cache}</mark_cache_size>
  <timezone>UTC</timezone>
  <user_files_path>{nothing}/</user_files_path>
  <user_scripts_path>{nothing}/</user_scripts_path>
  <format_schema_path>{nothing}/</format_schema_path>
  <query_log>
    <database>system</database>
    <table>query_log</table>
    <ttl>event_date + INTERVAL {days} DAY DELETE</ttl>
    <flush_interval_milliseconds>7500</flush_interval_milliseconds>
    <max_size_rows>65536</max_size_rows>
    <reserved_size_rows>1024</reserved_size_rows>
  </query_log>
</clickhouse>
"""


def write_config(directory: Path, memory_bytes: int) -> Path:
    """Write config.xml and users.xml into ``directory`` and return the former."""
    nothing = private_directory(directory / "no-files")
    users = directory / "users.xml"
    config = directory / "config.xml"
    # One sixteenth of the memory for the mark cache: the engine's default of 5 GB is too much for small machines.
    text = _SERVER.format(
        users=escape(str(users)),
        memory=memory_bytes,
        cache=memory_bytes // 16,
        nothing=escape(str(nothing)),
        days=KEEP_LOGS_DAYS,
    )
    constraints = "\n".join(f"      <{name}><const/></{name}>" for name in _FIXED_SETTINGS)
    for path, content in ((users, _USERS.format(constraints=constraints)), (config, text)):
        temporary = path.with_suffix(".tmp")
        temporary.write_text(content)
        os.replace(temporary, path)
    return config
