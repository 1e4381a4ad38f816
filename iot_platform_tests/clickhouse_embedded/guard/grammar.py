"""Random statements with something forbidden hidden in them.

A statement is made in three steps: a *leaf* (a call that reads the canary file, writes beside it, calls the canary
socket or runs the program), a *carrier* (where SQL lets an expression, a table or a string of SQL stand), and a *dress*
(how the same tokens can be written: comments, invisible characters, quotes, escapes, hexadecimal, heredocs, case).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from iot_platform_tests.clickhouse_embedded.guard.canaries import Canaries

_TOKEN = re.compile(r"'(?:[^'\\]|\\.|'')*'|[A-Za-z_]\w*|\d[\d.]*|\s+|.", re.DOTALL)
_GAPS = ("/* c */", "/* a /* b */ c */", "-- c\n", "// c\n", "#! c\n", "\u200b", "\u200c", "\u200d", "\u2060", "\u180e",
         "\ufeff", "\u00a0", "\t", "\n", "\r\n", "\f", "\v", "\u2003")  # fmt: skip


def text(value: str) -> str:
    """``value`` as a plain SQL string."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


@dataclass
class Grammar:
    """Statements for one set of canaries; the same seed gives the same statements."""

    random: random.Random
    canaries: Canaries
    number: int = 0

    def statements(self) -> list[str]:
        """The statements of one attack, to be run in this order."""
        self.number += 1
        made = self.random.choice(CARRIERS)(self)
        return [self.dress(sql) if self.random.random() < 0.8 else sql for sql in made]

    def expression(self, depth: int = 2) -> str:
        """An expression that reads the canary file."""
        path = text(str(self.canaries.file))
        plain = (f"file({path})", f"File({path})", f"upper(lower(file({path})))", f"arrayMap(file, [{path}])[1]",
                 f"arrayMap(x -> file(x), [{path}])[1]", f"arrayFold((a, x) -> concat(a, file(x)), [{path}], '')",
                 f"if(1, file({path}), '')", f"(SELECT any(c) FROM {self.table()} AS s(c))")  # fmt: skip
        if depth and self.random.random() < 0.3:
            return f"({self.random.choice(('SELECT ', 'SELECT DISTINCT '))}toString({self.expression(depth - 1)}))"
        return self.random.choice(plain)

    def table(self) -> str:
        """A table function that reads the canary file, or reaches the canary socket or program."""
        path, port = text(str(self.canaries.file)), self.canaries.port
        hidden = self.structure()
        return self.random.choice(
            (
                f"file({path}, 'LineAsString')",
                f"file({path}, LineAsString, 'c String')",
                f"url('http://127.0.0.1:{port}/x', 'LineAsString')",
                f"s3('http://127.0.0.1:{port}/b/k', 'NOSIGN', 'LineAsString', 'c String')",
                f"remote('127.0.0.1:{port}', system.one)",
                f"mysql('127.0.0.1:{port}', 'd', 't', 'u', 'p')",
                f"executable({text(self.canaries.program.name)}, 'LineAsString', 'c String')",
                f"sqlite({path}, 't')",
                f"filesystem({text(str(self.canaries.directory))})",
                f"values({hidden}, 1)",
                f"format(TSV, {hidden}, '1')",
                f"format(Values, 'c String', {text(f'({self.value()})')})",
                f"view(SELECT {self.value()} AS c)",
                f"loop(file({path}, 'LineAsString'))",
                f"viewExplain('EXPLAIN', '', (SELECT {self.value()}))",
            )
        )

    def value(self) -> str:
        """The shortest expression that reads the file; within a string it may be dressed as well."""
        plain = f"file({text(str(self.canaries.file))})"
        return self.dress(plain) if self.random.random() < 0.5 else plain

    def structure(self) -> str:
        """A column list with something forbidden in it, as a string or as what computes one."""
        columns = f"a Int8, c String {self.random.choice(('ALIAS', 'DEFAULT', 'MATERIALIZED'))} {self.value()}"
        cut = self.random.randrange(1, len(columns) - 1)
        return self.random.choice(
            (
                text(columns),
                text(columns),
                f"concat({text(columns[:cut])}, {text(columns[cut:])})",
                f"['x', {text(columns)}][2]",
                f"({text(columns)}, 1).1",
                f"replaceOne({text(columns.replace('file', 'fxle'))}, 'fxle', 'file')",
                f"unhex({text(columns.encode().hex())})",
                f"(SELECT {text(columns)})",
            )
        )

    def name(self) -> str:
        """A name that no other statement uses."""
        return f"o{self.number}"

    def dress(self, sql: str) -> str:
        """The same tokens, written in another way."""
        parts: list[str] = []
        for token in _TOKEN.findall(sql):
            if token.startswith("'"):
                token = self._string(token)
            elif token.isspace() or (token in "(),=" and self.random.random() < 0.1):
                gap = self.random.choice(_GAPS) if self.random.random() < 0.3 else ""
                token = f"{token}{gap}"
            elif token == "file" and self.random.random() < 0.2:
                token = self.random.choice(("`file`", '"file"', "`\\x66ile`", "`fi\\Nle`", "FILE", "“file”"))
            elif token.isalpha() and token.isupper() and self.random.random() < 0.2:
                token = token.lower()
            parts.append(token)
        return "".join(parts)

    def _string(self, literal: str) -> str:
        value = re.sub(r"\\(.)", r"\1", literal[1:-1], flags=re.DOTALL)
        raw = value.encode()
        ways: tuple[Callable[[], str], ...] = (
            lambda: literal,
            lambda: literal,
            lambda: "x'" + raw.hex() + "'",
            lambda: "b'" + "".join(f"{byte:08b}" for byte in raw) + "'",
            lambda: f"$t{len(raw)}${value}$t{len(raw)}$",
            lambda: f"$${value}$$" if "$$" not in value else literal,
            lambda: "'" + "".join(f"\\x{byte:02x}" for byte in raw) + "'",
            lambda: "'" + value.replace("\\", "\\\\").replace("'", "''") + "'",
            lambda: f"‘{value}’" if "’" not in value else literal,
        )
        return self.random.choice(ways)()


def _dictionary(g: Grammar, source: str, layout: str = "FLAT()") -> list[str]:
    definition = f"CREATE DICTIONARY {g.name()} (id UInt64, c String) PRIMARY KEY id SOURCE({source}) LAYOUT({layout})"
    return [f"{definition} LIFETIME(0)", f"SELECT dictGet('{g.name()}', 'c', toUInt64(1))", f"SELECT * FROM {g.name()}"]


def _settings(g: Grammar) -> list[str]:
    written = text(str(g.canaries.written / g.name()))
    condition = text(f"throwIf(length({g.value()}) > 0, {g.value()})")
    setting = g.random.choice(
        (
            f"additional_result_filter = {condition}",
            f"additional_table_filters = {{'system.one': {condition}}}",
            f"filter = {condition}",
            f"`select` = {text(g.value())}",
            f"`order` = {text(g.value())}",
            f"output_format_schema = {written}, output_format_protobuf_use_autogenerated_schema = 1",
            f"input_format_record_errors_file_path = {written}, input_format_allow_errors_num = 9",
            f"format_schema = {text(str(g.canaries.file))}",
            f"format_template_row = {text(str(g.canaries.file))}",
            "dialect = 'kusto'",
        )
    )
    tail = g.random.choice(("FORMAT Protobuf", "FORMAT Template", "FORMAT TSV", ""))
    query = g.random.choice(
        (
            "SELECT dummy FROM system.one",
            "SELECT * FROM format(CSV, 'a Int8', 'x')",
            f"SELECT * FROM (SELECT dummy FROM system.one SETTINGS {setting})",
        )
    )
    if g.random.random() < 0.3:
        return [f"SET {setting}", f"{query} {tail}"]
    return [f"{query} SETTINGS {setting} {tail}"]


CARRIERS: tuple[Callable[[Grammar], list[str]], ...] = (
    lambda g: [f"SELECT {g.expression()}"],
    lambda g: [f"SELECT * FROM {g.table()}"],
    lambda g: [f"SELECT * FROM numbers(1) AS n, {g.table()} AS t"],
    lambda g: [f"WITH {g.expression()} AS x SELECT x"],
    lambda g: [f"WITH x AS (SELECT * FROM {g.table()}) SELECT * FROM x"],
    lambda g: [f"WITH {g.structure()} AS s SELECT * FROM values(s, 1)"],
    lambda g: [f"WITH 'Values' AS f SELECT * FROM format(f, 'c String', {text(f'({g.value()})')})"],
    lambda g: [f"SELECT a FROM format(Values, 'a String', {text(f'({g.value()})')})"],
    lambda g: ["SET param_g = 'file'", f"SELECT arrayMap({{g:Identifier}}, [{text(str(g.canaries.file))}])[1]"],
    lambda g: [f"CREATE VIEW {g.name()} AS SELECT arrayMap({{g:Identifier}}, [{text(str(g.canaries.file))}])[1] AS c",
               f"SELECT * FROM {g.name()}(g = 'file')"],
    lambda g: [f"CREATE FUNCTION {g.name()} AS x -> arrayMap({{g:Identifier}}, [x])[1]", "SET param_g = 'file'",
               f"SELECT {g.name()}({text(str(g.canaries.file))})"],
    lambda g: [f"SELECT 1 WHERE 'x' IN {g.table()}"],
    lambda g: [f"SELECT * APPLY(file) FROM (SELECT {text(str(g.canaries.file))} AS p)"],
    lambda g: [f"SELECT 1 UNION ALL SELECT length({g.expression()})"],
    lambda g: [f"DESCRIBE {g.table()}"],
    lambda g: [f"EXPLAIN SELECT * FROM {g.table()}"],
    lambda g: [f"INSERT INTO kept SELECT {g.expression()}", "SELECT * FROM kept"],
    lambda g: [f"INSERT INTO kept VALUES ({g.expression()})", "SELECT * FROM kept"],
    lambda g: [f"INSERT INTO FUNCTION file({text(str(g.canaries.written / g.name()))}, 'CSV', 'a Int8') SELECT 1"],
    lambda g: [f"INSERT INTO FUNCTION url('http://127.0.0.1:{g.canaries.port}/', 'CSV', 'a Int8') SELECT 1"],
    lambda g: [f"INSERT INTO kept FROM INFILE {text(str(g.canaries.file))} FORMAT LineAsString", "SELECT * FROM kept"],
    lambda g: [f"SELECT 1 INTO OUTFILE {text(str(g.canaries.written / g.name()))}"],
    lambda g: [f"CREATE VIEW {g.name()} AS SELECT {g.expression()} AS c", f"SELECT * FROM {g.name()}"],
    lambda g: [f"CREATE TABLE {g.name()} ENGINE = Memory AS SELECT * FROM {g.table()}", f"SELECT * FROM {g.name()}"],
    lambda g: [f"CREATE TABLE {g.name()} AS {g.table()}", f"SELECT * FROM {g.name()}"],
    lambda g: [f"CREATE TABLE {g.name()} (c String) ENGINE = File(LineAsString, {text(str(g.canaries.file))})",
               f"SELECT * FROM {g.name()}"],
    lambda g: [f"CREATE TABLE {g.name()} (c String) ENGINE = URL('http://127.0.0.1:{g.canaries.port}/', CSV)",
               f"SELECT * FROM {g.name()}"],
    lambda g: [f"CREATE TABLE {g.name()} (a Int8, c String DEFAULT {g.expression()}) ENGINE = Memory",
               f"INSERT INTO {g.name()} (a) VALUES (1)", f"SELECT * FROM {g.name()}"],
    lambda g: [f"CREATE FUNCTION {g.name()} AS x -> file(x)", f"SELECT {g.name()}({text(str(g.canaries.file))})"],
    lambda g: [f"CREATE DATABASE {g.name()} ENGINE = Filesystem({text(str(g.canaries.directory))})",
               f"SELECT * FROM {g.name()}.`secret.txt`"],
    lambda g: [f"BACKUP TABLE kept TO File({text(str(g.canaries.written / g.name()))})"],
    lambda g: _dictionary(g, f"CLICKHOUSE(QUERY {text(f'SELECT 1 AS id, {g.value()} AS c')})"),
    lambda g: _dictionary(g, f"CLICKHOUSE(TABLE 'one' DB 'system' WHERE {text(f'length({g.value()}) > 0')})"),
    lambda g: _dictionary(g, f"FILE(PATH {text(str(g.canaries.file))} FORMAT 'LineAsString')"),
    lambda g: _dictionary(g, f"HTTP(URL 'http://127.0.0.1:{g.canaries.port}/' FORMAT 'TSV')"),
    lambda g: _dictionary(g, f"EXECUTABLE(COMMAND {text(str(g.canaries.program))} FORMAT 'TSV')"),
    lambda g: _dictionary(g, f"CLICKHOUSE(HOST '127.0.0.1' PORT {g.canaries.port} TABLE 't')"),
    lambda g: _dictionary(g, "CLICKHOUSE(QUERY 'SELECT 1 AS id, 2 AS c')",
                          f"SSD_CACHE(PATH {text(str(g.canaries.written / g.name()))})"),
    _settings,
    _settings,
    lambda g: [f"SELECT 1; SELECT {g.value()}"],
    lambda g: [f"ALTER TABLE kept ADD COLUMN {g.name()} String DEFAULT {g.value()}", "SELECT * FROM kept"],
    lambda g: [f"ALTER TABLE kept UPDATE c = {g.value()} WHERE 1 SETTINGS mutations_sync = 1", "SELECT * FROM kept"],
)  # fmt: skip
