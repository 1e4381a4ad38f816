"""A CRM for rehearsals and tests: it serves a CSV as objects of one type of HubSpot's CRM v3 API. See hubspot.py."""

from __future__ import annotations

import asyncio
import datetime as dt
import hmac
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

LIST_PAGE, SEARCH_PAGE, SEARCH_RESULTS = 100, 200, 10_000
RETRY_AFTER_S = 1
# Longer than any client waits for a response.
HANG_S = 3600

_NUMBERS = {"GT": "__gt__", "GTE": "__ge__", "LT": "__lt__", "LTE": "__le__", "EQ": "__eq__"}


@dataclass
class Record:
    """An object of the CRM. ``updated_at``: its last change; ``archived_at``: when it was archived."""

    id: int
    properties: Mapping[str, str]
    created_at: dt.datetime
    updated_at: dt.datetime
    archived_at: dt.datetime | None = None


@dataclass
class Stub:
    """The CRM. After each change of the CSV, new, changed and missing rows become new, changed and archived objects.

    ``fields``: the property for each column. ``faults``: the kind of failure (429, 500, timeout), and N: every
    Nth request fails. ``log`` is called with a line per request. A device stays the same object if its rows keep their
    order.
    """

    csv: Path
    object_type: str
    token: str
    fields: Mapping[str, str]
    modified: str
    faults: Mapping[str, int]
    log: Callable[[str], None]
    records: dict[tuple[str, int], Record] = field(default_factory=dict)
    _read_of: tuple[int, int] = (0, 0)
    _requests: int = 0

    def app(self) -> Starlette:
        """The HTTP interface."""
        base = f"/crm/v3/objects/{self.object_type}"
        return Starlette(
            routes=[
                Route(base, self._handled(self._list), methods=["GET"]),
                Route(f"{base}/search", self._handled(self._search), methods=["POST"]),
            ]
        )

    def _handled(self, handler: Callable[[Request, Any], JSONResponse]) -> Callable[[Request], Any]:
        async def respond(request: Request) -> Response:
            self._requests += 1
            fault = next((kind for kind, every in self.faults.items() if self._requests % every == 0), None)
            if fault == "timeout":
                self.log(f"{request.method} {request.url.path} no response (on purpose)")
                await asyncio.sleep(HANG_S)
            if fault:
                response: Response = _fault(fault)
            elif not self._is_authorized(request):
                response = _error(401, "Authentication credentials not found or not valid.")
            else:
                self._reload_csv()
                body = await request.json() if request.method == "POST" else None
                response = handler(request, body)
            self.log(f"{request.method} {request.url.path} {response.status_code}{' (on purpose)' if fault else ''}")
            return response

        return respond

    def _is_authorized(self, request: Request) -> bool:
        return hmac.compare_digest(request.headers.get("authorization", ""), f"Bearer {self.token}")

    def _reload_csv(self) -> None:
        state = self.csv.stat()
        if (state.st_mtime_ns, state.st_size) == self._read_of:
            return
        self._read_of = (state.st_mtime_ns, state.st_size)
        frame = pd.read_csv(io.BytesIO(self.csv.read_bytes()), dtype=str, keep_default_na=False)
        now = dt.datetime.now(dt.UTC)
        listed = set()
        for number, row in zip(frame.groupby("device_id").cumcount(), frame.to_dict("records"), strict=True):
            key = (str(row["device_id"]), int(number))
            listed.add(key)
            properties = {self.fields.get(str(name), str(name)): str(value) for name, value in row.items()}
            record = self.records.get(key)
            if record is None:
                self.records[key] = Record(len(self.records) + 1, properties, now, now)
            elif record.properties != properties or record.archived_at:
                record.properties, record.updated_at, record.archived_at = properties, now, None
        for key, record in self.records.items():
            if key not in listed and record.archived_at is None:
                record.archived_at = now

    def _list(self, request: Request, body: None) -> JSONResponse:
        query = request.query_params
        limit = int(query.get("limit", "10"))
        if not 0 < limit <= LIST_PAGE:
            return _error(400, f"limit must be from 1 to {LIST_PAGE}")
        wanted = [name for name in query.get("properties", "").split(",") if name]
        archived = query.get("archived", "false") == "true"
        after = int(query.get("after", "0"))
        found = [record for record in self._by_id(archived) if record.id > after]
        page = found[:limit]
        next_page = {"paging": {"next": {"after": str(page[-1].id)}}} if len(found) > limit else {}
        return JSONResponse({"results": [self._shown(record, wanted) for record in page], **next_page})

    def _search(self, request: Request, body: dict[str, Any]) -> JSONResponse:
        limit, after = int(body.get("limit", 10)), int(body.get("after") or 0)
        if not 0 < limit <= SEARCH_PAGE:
            return _error(400, f"limit must be from 1 to {SEARCH_PAGE}")
        if after + limit > SEARCH_RESULTS:
            return _error(400, f"a search has at most {SEARCH_RESULTS} results")
        groups = [group["filters"] for group in body.get("filterGroups", [])]
        found = [record for record in self._by_id() if not groups or any(self._fits(record, each) for each in groups)]
        for sort in reversed(body.get("sorts", [])):
            found.sort(
                key=lambda record: self._number(record, sort["propertyName"]), reverse=sort["direction"] == "DESCENDING"
            )
        page = found[after : after + limit]
        next_page = {"paging": {"next": {"after": str(after + limit)}}} if len(found) > after + limit else {}
        shown = [self._shown(record, body.get("properties", [])) for record in page]
        return JSONResponse({"total": len(found), "results": shown, **next_page})

    def _by_id(self, archived: bool = False) -> list[Record]:
        return sorted(
            (record for record in self.records.values() if bool(record.archived_at) == archived),
            key=lambda record: record.id,
        )

    def _fits(self, record: Record, filters: Sequence[Mapping[str, str]]) -> bool:
        return all(
            getattr(self._number(record, each["propertyName"]), _NUMBERS[each["operator"]])(int(each["value"]))
            for each in filters
        )

    def _number(self, record: Record, name: str) -> int:
        """The value of a property that the stub can compare: the id, or the time of the last change in ms."""
        if name == "hs_object_id":
            return record.id
        if name == self.modified:
            return int(record.updated_at.timestamp() * 1000)
        raise KeyError(f"The stub cannot filter or sort by {name}.")

    def _shown(self, record: Record, wanted: Sequence[str]) -> dict[str, Any]:
        own = {
            "hs_object_id": str(record.id),
            "hs_createdate": _iso(record.created_at),
            self.modified: _iso(record.updated_at),
        }
        known = {**own, **{name: record.properties[name] or None for name in wanted if name in record.properties}}
        shown = {
            "id": str(record.id),
            "properties": known,
            "createdAt": _iso(record.created_at),
            "updatedAt": _iso(record.updated_at),
            "archived": record.archived_at is not None,
        }
        return {**shown, "archivedAt": _iso(record.archived_at)} if record.archived_at else shown


def _fault(kind: str) -> JSONResponse:
    if kind == "429":
        return _error(429, "You have reached your ten_secondly_rolling limit.", {"Retry-After": str(RETRY_AFTER_S)})
    return _error(500, "internal error")


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"status": "error", "message": message}, status, headers)


def _iso(time: dt.datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
