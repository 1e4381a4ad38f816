"""Device metadata in a CRM: the objects of HubSpot's CRM v3 API.

HubSpot rather than Salesforce, because its API is public and simple: one token, one address for all object types, and
JSON pages with a cursor. Salesforce needs OAuth, an address per customer and a query language.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import requests
from pydantic import BaseModel, Field, SecretStr, ValidationError

from iot_platform.devices.contract import COLUMNS, REQUIRED
from iot_platform.devices.sources.api import ATTEMPTS, TRANSIENT_STATUS, Api, ApiError
from iot_platform.devices.sources.source import CRM, NOTHING_CHANGED, Delivery, without_secrets
from iot_platform.errors import SourceError
from iot_platform.security.escaping import escape_line

# The largest pages that HubSpot returns.
LIST_PAGE, SEARCH_PAGE = 100, 200
# HubSpot's search finds a change only after some delay, so each search starts before the newest change that was read.
OVERLAP = dt.timedelta(minutes=15)

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ANSWER_SHOWN = 300


class _Record(BaseModel):
    id: int
    properties: dict[str, str | None]
    updated_at: dt.datetime = Field(alias="updatedAt")


class _Next(BaseModel):
    after: str


class _Paging(BaseModel):
    next: _Next | None = None


class _Page(BaseModel):
    results: list[_Record]
    paging: _Paging | None = None

    @property
    def after(self) -> str | None:
        """The cursor of the next page; None for the last page."""
        return self.paging.next.after if self.paging and self.paging.next else None


class HubSpotSource:
    """The objects of one type. ``fields``: the CRM's property for each column of the contract.

    ``modified``: the property with the time of an object's last change. Raises SourceError for invalid settings.
    """

    name = CRM

    def __init__(
        self,
        url: str,
        token: SecretStr | None,
        *,
        object_type: str,
        fields: Mapping[str, str],
        modified: str,
        timeout_s: float,
        max_bytes: int,
    ) -> None:
        self._objects = f"{url.rstrip('/')}/crm/v3/objects/{object_type}"
        self._fields = {column: fields[column] for column in COLUMNS if column in fields}
        self._modified = modified
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        if token is None or not token.get_secret_value():
            raise SourceError("The CRM needs a token: set IOT_CRM_TOKEN to that of a private app with read access.")
        if any(map(str.isspace, token.get_secret_value())):
            # It is not a valid header, and the error of the HTTP library would quote it.
            raise SourceError("IOT_CRM_TOKEN contains spaces or line ends. Set it to the token alone.")
        if missing := set(REQUIRED) - fields.keys():
            raise SourceError(f"IOT_CRM_FIELDS names no property for {', '.join(sorted(missing))}.")
        if unknown := fields.keys() - set(COLUMNS):
            raise SourceError(f"IOT_CRM_FIELDS: {', '.join(sorted(unknown))} is not one of {', '.join(COLUMNS)}.")
        parts = urlsplit(url)
        if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
            raise SourceError(f"IOT_CRM_URL={without_secrets(url)}: the token would be sent unencrypted. Use https.")
        self._token = token

    @property
    def location(self) -> str:
        """The address of the object type."""
        return without_secrets(self._objects)

    def read(self, since: str = "") -> Delivery:
        """Read all objects, or those that changed since a position: the newest change that an earlier read has seen.

        Archived objects are noticed only by reading all. With a property for valid_from, all are read too: then several
        objects may describe the history of a device, and a changed one alone would be taken for the whole history.
        Raises SourceError if the CRM does not answer, after several attempts, or if its response cannot be understood.
        """
        if "valid_from" in self._fields:
            since = ""
        with Api(self._token, timeout_s=self._timeout_s, max_bytes=self._max_bytes) as api:
            found = list(self._changed(api, dt.datetime.fromisoformat(since)) if since else self._listed(api))
        if not since:
            self._require_properties(found)
        newest = max([record.updated_at for record in found], default=None)
        position = max(since, newest.astimezone(dt.UTC).isoformat(timespec="milliseconds")) if newest else since
        return Delivery(self._frame(found), is_full=not since, is_complete=not since, position=position)

    def _listed(self, api: Api) -> Iterator[_Record]:
        query = {"limit": str(LIST_PAGE), "properties": ",".join(self._fields.values()), "archived": "false"}
        seen: set[str] = set()
        while True:
            page = self._page(api, "GET", self._objects, params=query)
            yield from page.results
            if page.after is None:
                return
            if page.after in seen:
                raise SourceError(f"{self.location}: page {page.after!r} is returned repeatedly. {NOTHING_CHANGED}")
            seen.add(page.after)
            query["after"] = page.after

    def _changed(self, api: Api, since: dt.datetime) -> Iterator[_Record]:
        """The objects that changed since a time, in the order of their ids.

        Each page is a separate search, for ids above the last one. HubSpot's own paging of a search ends at 10,000
        objects and goes by position: if an object changed meanwhile, the positions would shift and one would be missed.
        """
        changed = {
            "propertyName": self._modified,
            "operator": "GTE",
            "value": str(int((since - OVERLAP).timestamp() * 1000)),
        }
        last_id = 0
        while True:
            above = {"propertyName": "hs_object_id", "operator": "GT", "value": str(last_id)}
            body = {
                "filterGroups": [{"filters": [changed, above]}],
                "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
                "properties": list(self._fields.values()),
                "limit": SEARCH_PAGE,
            }
            page = self._page(api, "POST", f"{self._objects}/search", json=body)
            yield from page.results
            if page.after is None or not page.results:
                return
            newest_id = max(record.id for record in page.results)
            if newest_id <= last_id:
                raise SourceError(f"{self.location}: the search ignores hs_object_id > {last_id}. {NOTHING_CHANGED}")
            last_id = newest_id

    def _page(self, api: Api, method: str, url: str, **content: Any) -> _Page:
        try:
            status, body = api.request(method, url, **content)
        except ApiError as error:
            raise SourceError(f"{self.location}: {error}. {NOTHING_CHANGED}") from error
        if status != requests.codes.ok:
            raise SourceError(f"{self.location}: {self._refusal(status, body)} {NOTHING_CHANGED}")
        try:
            return _Page.model_validate_json(body)
        except ValidationError as error:
            raise SourceError(
                f"{self.location}: the response is not a page of CRM objects ({error.error_count()} problems, first: "
                f"{error.errors()[0]['msg']}). Is IOT_CRM_URL right? {NOTHING_CHANGED}"
            ) from error

    def _refusal(self, status: int, body: bytes) -> str:
        if status in (401, 403):
            return f"refuses the token (HTTP {status}). Is IOT_CRM_TOKEN right, and may its app read these objects?"
        if status == requests.codes.not_found:
            return "does not exist (HTTP 404). Is IOT_CRM_OBJECT right?"
        tried = f", tried {ATTEMPTS} times" if status in TRANSIENT_STATUS else ""
        # Some proxies quote the request in their response.
        text = body.decode("utf-8", errors="replace").replace(self._token.get_secret_value(), "***")
        return f"HTTP {status}{tried}: {escape_line(text, _ANSWER_SHOWN)}"

    def _require_properties(self, found: list[_Record]) -> None:
        """Refuse properties that do not exist. The CRM omits these; a property without a value is null."""
        unknown = [name for name in self._fields.values() if found and not any(name in r.properties for r in found)]
        if unknown:
            raise SourceError(
                f"{self.location}: the objects have no property {', '.join(map(repr, unknown))}. Set IOT_CRM_FIELDS "
                f"to the names that the CRM uses. {NOTHING_CHANGED}"
            )

    def _frame(self, found: list[_Record]) -> pd.DataFrame:
        rows = {record.id: [record.properties.get(name) or "" for name in self._fields.values()] for record in found}
        frame = pd.DataFrame.from_dict(rows, orient="index", columns=list(self._fields), dtype=str)
        frame.index.name = "record"
        return frame
