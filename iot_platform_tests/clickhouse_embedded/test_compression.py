"""Compression of the HTTP interface: Content-Encoding, and ClickHouse's own blocks (compress=1, decompress=1)."""

from __future__ import annotations

import asyncio
import gzip
import io
import threading
import zlib
from collections.abc import Callable, Iterator

import brotli
import connectorx
import httpx
import lz4.frame
import pytest
import zstandard
from clickhouse_cityhash.cityhash import CityHash128
from clickhouse_driver.compression import get_compressor_cls, get_decompressor_cls
from clickhouse_driver.compression.base import BaseCompressor
from clickhouse_driver.reader import read_binary_uint8, read_binary_uint128
from clickhouse_driver.writer import write_binary_uint8, write_binary_uint128
from starlette.requests import Request

from iot_platform.clickhouse_embedded import native_blocks
from iot_platform.clickhouse_embedded.body import Body
from iot_platform.clickhouse_embedded.compression import Decompressor
from iot_platform.clickhouse_embedded.errors import ClickHouseError
from iot_platform.clickhouse_embedded.native_blocks import BlockCompressor, BlockDecompressor
from iot_platform.clickhouse_embedded.request import read_request
from iot_platform_tests.clickhouse_embedded.http_queries import Server, code, post, rows

_PACKERS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "lz4": lz4.frame.compress,
    "br": brotli.compress,
}
_UNPACKERS = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
    "lz4": lz4.frame.decompress,
    "br": brotli.decompress,
}


@pytest.mark.parametrize("encoding", _PACKERS)
def test_compression_both_ways(http: httpx.Client, encoding: str) -> None:
    post(http, "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
    pack = _PACKERS[encoding]
    data = "".join(f"{n}\n" for n in range(100_000)).encode()
    # Clients send one frame a block; brotli has no frames to join.
    body = pack(data) if encoding == "br" else pack(data[:300_000]) + pack(data[300_000:])
    sent = http.post(
        "/",
        content=body,
        params={**http.params, "query": "INSERT INTO t FORMAT CSV"},
        headers={"Content-Encoding": encoding},
    )
    assert sent.status_code == 200, sent.text
    params = {**http.params, "enable_http_compression": "1"}
    for query in ("SELECT a FROM t ORDER BY a FORMAT CSV", "SELECT 1", "SELECT 1 WHERE 0"):
        request = http.build_request("POST", "/", content=query, params=params, headers={"Accept-Encoding": encoding})
        answer = http.send(request, stream=True)
        raw = b"".join(answer.iter_raw())
        plain = _UNPACKERS[encoding](raw) if raw else b""
        assert plain == {"SELECT 1": b"1\n", "SELECT 1 WHERE 0": b""}.get(query, data)
        assert answer.headers.get("Content-Encoding", encoding) == encoding


def test_broken_compression_is_an_error(http: httpx.Client) -> None:
    post(http, "CREATE TABLE t (a String) ENGINE = Memory")
    params = {**http.params, "query": "INSERT INTO t FORMAT LineAsString"}
    whole = gzip.compress(b"".join(b"%d\n" % n for n in range(100_000)))
    for body, encoding, number in ((whole[:-2000], "gzip", "271"), (b"x" * 99, "zstd", "271"), (b"x", "snappy", "89")):
        answer = http.post("/", content=body, params=params, headers={"Content-Encoding": encoding})
        assert code(answer) == number
    # Nor are the blocks before the damage stored: the statement was cancelled.
    assert rows(http, "SELECT count() FROM t") == "0"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "lz4", "br"])
def test_decompressed_data_comes_in_bounded_pieces(encoding: str) -> None:
    compress: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "zstd": zstandard.compress,
        "lz4": lz4.frame.compress,
        "br": brotli.compress,
    }
    frames = 1 if encoding == "br" else 2
    plain = bytes(range(256)) + b"0" * 50_000_000
    packed = compress[encoding](plain) * frames
    for size in (len(packed), 1000):
        decompressor = Decompressor(encoding)
        total = 0
        for begin in range(0, len(packed), size):
            for piece in decompressor.feed(packed[begin : begin + size]):
                assert len(piece) <= 8 * 1024 * 1024 + 1024
                total += len(piece)
        decompressor.finish()
        assert total == frames * len(plain)


def _driver_block(data: bytes, method: str) -> bytes:
    """``data`` as one block, by the codec of clickhouse-driver."""
    compressor: BaseCompressor = get_compressor_cls(method)()
    compressor.write(data)
    content, block = io.BytesIO(), io.BytesIO()
    write_binary_uint8(compressor.method_byte, content)
    content.write(compressor.get_compressed_data(1))
    write_binary_uint128(CityHash128(content.getvalue()), block)
    return block.getvalue() + content.getvalue()


def _driver_plain(blocks: bytes) -> bytes:
    """The content of ``blocks``, by the codec of clickhouse-driver, which checks them."""
    stream, plain = io.BytesIO(blocks), []
    while stream.tell() < len(blocks):
        checksum, method = read_binary_uint128(stream), read_binary_uint8(stream)
        plain.append(get_decompressor_cls(method)(stream).get_decompressed_data(method, checksum, 1))
    return b"".join(plain)


def _plain(blocks: bytes, size: int = 100_000) -> bytes:
    decompressor = BlockDecompressor()
    parts = [part for at in range(0, len(blocks), size) for part in decompressor.feed(blocks[at : at + size])]
    decompressor.finish()
    return b"".join(parts)


@pytest.mark.parametrize("size", [1, 10, 1_048_576, 3_000_001])
def test_blocks_are_those_of_another_client(size: int) -> None:
    data = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    blocks = BlockCompressor().compress(data) + BlockCompressor().flush()
    assert _driver_plain(blocks) == data
    assert _plain(blocks, 7 if size < 20 else 65_537) == data
    for method in ("lz4", "lz4hc", "zstd"):
        assert _plain(_driver_block(data, method)) == data


def _sealed(method: int, plain_size: int, packed: bytes, size: int | None = None) -> bytes:
    body = bytes([method]) + (len(packed) + 9 if size is None else size).to_bytes(4, "little")
    body += plain_size.to_bytes(4, "little") + packed
    number: int = CityHash128(body)
    return (number >> 64).to_bytes(8, "little") + (number & (2**64 - 1)).to_bytes(8, "little") + body


GOOD = BlockCompressor().compress(b"0" * 1000)
BIG = native_blocks.MAX_BLOCK_BYTES + 1


@pytest.mark.parametrize(
    ("blocks", "number"),
    [
        (GOOD[:3] + b"!" + GOOD[4:], 40),
        (GOOD[:-1] + b"!", 40),
        (GOOD[:-1], 271),
        (GOOD + GOOD[:20], 271),
        (_sealed(0x55, 1, b"x"), 432),
        (_sealed(native_blocks.LZ4, BIG, b"x"), 130),
        (_sealed(native_blocks.NONE, 1, b"x", BIG), 130),
        (_sealed(native_blocks.NONE, 1, b"", 3), 271),
        (_sealed(native_blocks.NONE, 5, b"four"), 271),
        (_sealed(native_blocks.LZ4, 1000, b"\xff\xff"), 271),
        (_sealed(native_blocks.LZ4, 999, lz4.block.compress(b"0" * 1000, store_size=False)), 271),
        (_sealed(native_blocks.LZ4, 1001, lz4.block.compress(b"0" * 1000, store_size=False)), 271),
        (_sealed(native_blocks.ZSTD, 1000, b"no frame"), 271),
        # A frame that claims (and would give) more than the head: nothing of that size is made.
        (_sealed(native_blocks.ZSTD, 1000, zstandard.compress(b"0" * 50_000_000)), 271),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else f"{len(value)} bytes",
)
def test_damaged_blocks_are_errors(http: httpx.Client, blocks: bytes, number: int) -> None:
    with pytest.raises(ClickHouseError) as error:
        _plain(blocks)
    assert error.value.code == number
    post(http, "CREATE TABLE t (s String) ENGINE = MergeTree ORDER BY s")
    query = {"query": "INSERT INTO t FORMAT LineAsString", "decompress": "1"}
    answer = http.post("/", content=blocks, params={**http.params, **query})
    assert code(answer) == str(number), answer.text
    assert rows(http, "SELECT count() FROM t") == "0"


def test_an_empty_block_and_an_uncompressed_one() -> None:
    assert _plain(_sealed(native_blocks.NONE, 4, b"four")) == b"four"
    assert _plain(_sealed(native_blocks.LZ4, 0, b"\0") + _sealed(native_blocks.NONE, 1, b"x")) == b"x"


def test_checksums_are_not_compared_if_the_client_asks_for_that(http: httpx.Client) -> None:
    block = b"\0" * 16 + BlockCompressor().compress(b"SELECT 5")[16:]
    assert code(post(http, block, 500, decompress=1)) == "40"
    setting = {"http_native_compression_disable_checksumming_on_decompress": 1}
    assert rows(http, block, decompress=1, **setting) == "5"


@pytest.mark.parametrize("method", ["lz4", "zstd"])
def test_blocks_both_ways(http: httpx.Client, method: str) -> None:
    post(http, "CREATE TABLE t (a UInt64, s String) ENGINE = MergeTree ORDER BY a")
    lines = "".join(f"{n}\tvalue {n % 7}\n" for n in range(300_000)).encode()
    pieces = [lines[at : at + 700_000] for at in range(0, len(lines), 700_000)]

    def sent() -> Iterator[bytes]:
        yield _driver_block(b"INSERT INTO t FORMAT TSV\n", method)
        for piece in pieces:
            yield _driver_block(piece, method)

    assert http.post("/", content=sent(), params={**http.params, "decompress": "1"}).status_code == 200
    for wait in ({}, {"wait_end_of_query": 1}):
        answer = post(http, "SELECT * FROM t ORDER BY a", compress=1, **wait)
        assert "Content-Encoding" not in answer.headers
        assert len(answer.content) < len(lines) / 2
        assert _driver_plain(answer.content) == lines
    assert post(http, "SELECT 1 WHERE 0", compress=1).content == b""
    assert _driver_plain(post(http, "SELECT 1", compress=1).content) == b"1\n"


def test_blocks_inside_a_content_encoding(http: httpx.Client) -> None:
    body = gzip.compress(_driver_block(b"SELECT number FROM numbers(100000)", "lz4"))
    params = {**http.params, "decompress": "1", "compress": "1", "enable_http_compression": "1"}
    answer = http.post(
        "/", content=body, params=params, headers={"Content-Encoding": "gzip", "Accept-Encoding": "gzip"}
    )
    assert answer.headers["Content-Encoding"] == "gzip"
    assert _driver_plain(answer.content) == "".join(f"{n}\n" for n in range(100_000)).encode()


def test_errors_are_compressed_like_the_response(http: httpx.Client) -> None:
    """As in ClickHouse; its clients look for blocks, and take plain text of errors at the login."""
    answer = post(http, "SELECT nope", 404, compress=1)
    assert code(answer) == "47"
    assert _driver_plain(answer.content).startswith(b"Code: 47. DB::Exception: ")
    stranger = httpx.post(str(http.base_url), content="SELECT 1", params={"compress": "1"})
    assert stranger.text.startswith("Code: 516. ")
    sql = "SELECT throwIf(number = 3000000), number FROM numbers(100000000) SETTINGS max_threads = 1"
    received = b""
    with (
        http.stream("POST", "/", content=sql, params={**http.params, "compress": "1"}) as late,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        for chunk in late.iter_raw():
            received += chunk
    tag = late.headers["X-ClickHouse-Exception-Tag"]
    plain = _driver_plain(received)
    assert f"__exception__\r\n{tag}\r\nCode: 395. DB::Exception: ".encode() in plain[-4096:]
    assert plain.endswith(f" {tag}\r\n__exception__\r\n".encode())


@pytest.mark.parametrize("encoding", ["gzip", "lz4", "zstd"])
def test_bodies_are_decompressed_in_worker_threads(encoding: str) -> None:
    """A few kilobytes may decompress to a gigabyte, which would block all requests on the event loop."""
    plain = bytes(range(256)) * 40_000
    packed = _PACKERS[encoding](_driver_block(plain[:5_000_000], "lz4") + _driver_block(plain[5_000_000:], "lz4"))
    loop_thread = threading.get_ident()
    threads: set[int] = set()

    async def step(work: Callable[..., bytes], *args: object) -> bytes:
        def traced() -> bytes:
            threads.add(threading.get_ident())
            return work(*args)

        return await asyncio.to_thread(traced)

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": packed, "more_body": False}

    async def read() -> list[bytes]:
        scope = {"type": "http", "method": "POST", "headers": [(b"content-encoding", encoding.encode())]}
        query = read_request([("decompress", "1")], {}, is_get=False)
        return [piece async for piece in Body(Request(scope, receive), query, step)]

    pieces = asyncio.run(read())
    assert b"".join(pieces) == plain
    assert threads
    assert loop_thread not in threads


def test_connectorx_reads(server: Server, http: httpx.Client, database: str) -> None:
    """It asks for compress=1."""
    post(http, "CREATE TABLE t (a Int64, s String) ENGINE = MergeTree ORDER BY a")
    post(http, "INSERT INTO t SELECT number, concat('value ', toString(number % 7)) FROM numbers(200000)")
    url = f"clickhouse://{server.username}:{server.password}@{server.host}:{server.port}/{database}?protocol=http"
    table = connectorx.read_sql(url, "SELECT a, s FROM t ORDER BY a", return_type="arrow")
    assert table["a"].to_pylist() == list(range(200_000))
    assert table["s"][-1].as_py() == f"value {199_999 % 7}"
    with pytest.raises(RuntimeError, match="nope"):
        connectorx.read_sql(url, "SELECT nope FROM t", return_type="arrow")
