"""What clients may not do: reach files, other hosts or programs, or stop the server.

Two fences. The engine runs without the grants for sources (see config.py): that one holds whatever the SQL looks like.
This one reads the tokens: it covers what the engine lets pass (the function file(), INTO OUTFILE, SQL inside strings)
and says in plain words what was refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from iot_platform.clickhouse.embedded.engine import ID_SETTING
from iot_platform.clickhouse.embedded.faults import ACCESS_DENIED, ClickHouseError
from iot_platform.clickhouse.embedded.lexer import Token, tokens, words

SAFE_TABLE_FUNCTIONS = words(
    """
    dictionary format fuzzjson fuzzquery generaterandom generateseries generate_series input loop merge
    mergetreeanalyzeindexes mergetreeanalyzeindexesuuid mergetreecodecblockcounts mergetreeindex
    mergetreeprojection mergetreetextindex null numbers numbers_mt primes sqlstandardvalues timeseriesdata
    timeseriesmetricfamilies timeseriesmetrics timeseriessamples timeseriesselector timeseriestags
    prometheusquery prometheusqueryrange values view viewexplain viewifpermitted zeros zeros_mt
    """
)
# Ordinary functions that read files or call out, and clauses written like a function call.
_UNSAFE_FUNCTIONS = words(
    """
    file disk table_disk kql eval executable catboostevaluate aigenerate aifilter aiclassify aiembed
    aiextract airedact aisimilarity aitranslate
    """
)
_SAFE_ENGINES = words(
    """
    mergetree replacingmergetree summingmergetree aggregatingmergetree collapsingmergetree
    versionedcollapsingmergetree coalescingmergetree graphitemergetree memory log tinylog stripelog null set
    join view materializedview buffer merge dictionary generaterandom alias timeseries fuzzjson fuzzquery
    loop atomic ordinary
    """
)
_SAFE_SYSTEM = (
    "FLUSH LOGS", "FLUSH ASYNC", "RELOAD DICTIONARY", "RELOAD DICTIONARIES", "RELOAD FUNCTION", "STOP MERGES",
    "START MERGES", "STOP TTL", "START TTL", "STOP MOVES", "START MOVES", "STOP VIEW", "START VIEW", "STOP VIEWS",
    "START VIEWS", "REFRESH VIEW", "WAIT VIEW", "CANCEL VIEW", "WAIT LOADING", "DROP MARK", "DROP UNCOMPRESSED",
    "DROP INDEX", "DROP QUERY", "DROP COMPILED", "DROP PRIMARY", "DROP FORMAT", "DROP DNS", "DROP FILESYSTEM",
    "DROP MMAP", "CLEAR", "JEMALLOC PURGE", "LOAD PRIMARY", "UNLOAD PRIMARY", "SYNC FILE", "STOP CLEANUP",
    "START CLEANUP",
)  # fmt: skip
# Settings whose value is itself SQL.
_SQL_SETTINGS = frozenset({"additional_table_filters", "additional_result_filter", "parallel_replicas_custom_key"})
# Escapes that quoting a name brings about; any other only hides a name.
_PLAIN_NAME = re.compile(r"(?:[^\\]|\\[\\`\"'])*")
_NAMES_A_TABLE = frozenset({"INTO", "INDEX", "PROJECTION", "CONSTRAINT", "COLUMN", "EXISTS", "VIEW", "DICTIONARY"})


class Guard:
    """Refuses statements that reach outside the database."""

    def __init__(self, table_functions: Collection[str], engines: Collection[str]) -> None:
        """All table functions and engines that are known: one that a later version adds is refused until judged."""
        known = {name.lower() for name in table_functions}
        self._denied = (known - SAFE_TABLE_FUNCTIONS) | _UNSAFE_FUNCTIONS
        self._engines = {name.lower() for name in engines}

    def check(self, statement: tuple[Token, ...]) -> None:
        """Raise ACCESS_DENIED when the statement reaches outside the database."""
        if not statement:
            return
        _check_kind(statement)
        _check_clauses(statement)
        _check_names(statement)
        _check_id_setting(statement)
        kind = statement[0].word
        for index, token in _calls(statement):
            if token.name.lower() in self._denied and not _is_definition(statement, index, kind):
                raise denied(f"{token.name}()")
        for token in _given_as_function(statement):
            if token.name.lower() in self._denied:
                raise denied(f"{token.name} as a function")
        self._check_source(statement)
        self._check_sql_settings(statement)
        if any(token.word in ("CREATE", "ATTACH", "REPLACE") for token in statement):
            self._check_engine(statement)

    def check_setting(self, name: str, value: str) -> None:
        """Check a setting of the URL; some carry SQL in their value."""
        if name.lower() == ID_SETTING:
            raise denied(f"The setting {name}")
        if name.lower() in _SQL_SETTINGS:
            self._check_text(value)
            for token in tokens(value):
                if token.kind == "string":  # {'table': 'condition'}
                    self._check_text(token.value)

    def _check_text(self, sql: str) -> None:
        self.check(tuple(tokens(sql)))

    def _check_engine(self, statement: tuple[Token, ...]) -> None:
        """``ENGINE = X`` and ``ENGINE X``; columns may be named engine as well."""
        depth = 0
        for index, token in enumerate(statement[:-1]):
            depth += {"(": 1, ")": -1}.get(token.text, 0)
            if depth == 0 and _begins_select(statement, index):
                return
            if token.word != "ENGINE" or depth:
                continue
            assigned = statement[index + 1].text == "="
            engine = statement[min(index + 1 + assigned, len(statement) - 1)].name
            # Replicated tables need a Keeper, which is not here: the engine says so itself.
            name = engine.lower().removeprefix("replicated")
            if name not in _SAFE_ENGINES and name and (assigned or name in self._engines):
                raise denied(f"ENGINE {engine}")

    def _check_sql_settings(self, statement: tuple[Token, ...]) -> None:
        inside = False
        for before, token in zip(statement, statement[1:], strict=False):
            inside = inside or before.name.lower() in _SQL_SETTINGS
            if inside and before.text == "{" and token.kind != "string":
                raise denied("A query parameter in a statement with a setting that carries SQL")
            if inside and token.kind == "string":
                self._check_text(token.value)

    def _check_source(self, statement: tuple[Token, ...]) -> None:
        """A dictionary may read this database's own tables; its query, a string, is SQL as well."""
        for index, token in _calls(statement):
            if token.word != "SOURCE":
                continue
            source = statement[index + 2] if index + 2 < len(statement) else token
            if source.name.upper() not in ("CLICKHOUSE", "NULL"):
                raise denied(f"dictionary source {source.text}")
            for inner in _enclosed(statement, index + 1):
                if inner.name.upper() in ("HOST", "PORT", "SECURE", "NAME"):
                    raise denied(f"{inner.name} in a dictionary source")
                if inner.kind == "string":
                    self._check_text(inner.value)


def denied(what: str) -> ClickHouseError:
    """The error for something that is refused."""
    return ClickHouseError(
        ACCESS_DENIED,
        f"{what} is refused: clients of the embedded server may not reach files, other hosts or programs, "
        "nor stop or configure the server",
    )


def _calls(statement: tuple[Token, ...]) -> Iterator[tuple[int, Token]]:
    """Names directly before a parenthesis."""
    for index in range(len(statement) - 1):
        if statement[index + 1].text == "(" and statement[index].name:
            yield index, statement[index]


def _given_as_function(statement: tuple[Token, ...]) -> Iterator[Token]:
    """Names that the engine may take for a function without a parenthesis behind: APPLY(f), arrayMap(f, a)."""
    for index, token in enumerate(statement):
        if not token.name:
            continue
        opening = index
        while opening and statement[opening - 1].text == "(":
            opening -= 1
        before = statement[opening - 1] if opening else None
        after = statement[index + 1].text if index + 1 < len(statement) else ""
        if before is None:
            continue
        higher_order = opening < index and after != "." and before.name.lower().startswith(("array", "map"))
        if before.word == "APPLY" or (higher_order and _has_more(statement, opening)):
            yield token


def _has_more(statement: tuple[Token, ...], opening: int) -> bool:
    """Whether the call has two arguments: with one it takes no function."""
    depth = 0
    for token in statement[opening:]:
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token.text, 0)
        if depth == 0 or (depth == 1 and token.text == ","):
            return depth > 0
    return False


def _begins_select(statement: tuple[Token, ...], index: int) -> bool:
    """Whether a SELECT begins here: ``CREATE TABLE select`` and ``AS select.t`` only name something."""
    before, after = statement[index - 1], statement[index + 1]
    if statement[index].word != "SELECT" or after.text == ".":
        return False
    return before.word == "AS" or before.text == ")"


def _is_definition(statement: tuple[Token, ...], index: int, kind: str) -> bool:
    """``INSERT INTO url (a)``, ``CREATE TABLE url (a ...)``, ``db.file (``: a table's name, not a call."""
    before = statement[index - 1] if index else None
    if before is None:
        return False
    if before.text == "." or before.word in _NAMES_A_TABLE:
        return True
    return before.word == "TABLE" and kind in ("CREATE", "ATTACH", "REPLACE", "INSERT", "ALTER")


def _enclosed(statement: tuple[Token, ...], opening: int) -> Iterator[Token]:
    depth = 0
    for token in statement[opening:]:
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth == 0:
            return
        yield token


def _check_kind(statement: tuple[Token, ...]) -> None:
    kind = statement[0].word
    if kind in ("BACKUP", "RESTORE", "EXECUTE"):
        raise denied(kind)
    if kind in ("DROP", "DETACH", "RENAME", "TRUNCATE") and _names_needed_database(statement):
        # Every new handle starts in "default": without it nobody can connect. (Grants protect what is in "system".)
        raise denied(f"{kind} DATABASE of default, system or a query parameter")
    if kind == "SYSTEM":
        action = " ".join(token.text.upper() for token in statement[1:3])
        if not action.startswith(_SAFE_SYSTEM):
            raise denied(f"SYSTEM {action}")
    if kind == "ATTACH":
        for before, token in zip(statement, statement[1:], strict=False):
            if before.word == "FROM" and token.kind == "string":
                raise denied("ATTACH ... FROM a path")


def _names_needed_database(statement: tuple[Token, ...]) -> bool:
    if len(statement) < 3 or statement[1].word != "DATABASE":
        return False
    return any(token.name.lower() in ("default", "system") or token.text == "{" for token in statement[2:])


def _check_id_setting(statement: tuple[Token, ...]) -> None:
    """The server itself carries the client's query id in this setting."""
    for token, after in zip(statement, statement[1:], strict=False):
        if token.name.lower() == ID_SETTING and (after.text == "=" or statement[0].word == "SET"):
            raise denied(f"The setting {ID_SETTING}")


def _check_names(statement: tuple[Token, ...]) -> None:
    for token in statement:
        if token.kind == "quoted" and not _PLAIN_NAME.fullmatch(token.text):
            raise denied(f"A backslash in the name {token.text}")


def _check_clauses(statement: tuple[Token, ...]) -> None:
    for before, token in zip(statement, statement[1:], strict=False):
        pair = f"{before.word} {token.word}"
        if pair in ("INTO OUTFILE", "FROM INFILE", "PARALLEL WITH"):
            raise denied(pair)
