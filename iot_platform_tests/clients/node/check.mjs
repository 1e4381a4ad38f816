// What test_node.py asserts: each check talks to the server named by the environment and says on one line of JSON what it got.
import { readFileSync } from "node:fs";
import { Readable } from "node:stream";
import { createClient, ClickHouseError } from "@clickhouse/client";

const { url, username, password, database } = JSON.parse(readFileSync(0, "utf8"));
const options = { url, username, password, database, request_timeout: 60_000 };
const client = createClient(options);
const say = (check, got) => console.log(JSON.stringify({ check, got }));

async function errorOf(work) {
  try {
    await work();
  } catch (error) {
    return { clickhouse: error instanceof ClickHouseError, code: error.code, type: error.type };
  }
  return null;
}

say("ping", (await client.ping()).success);

const read = await client.query({ query: "SELECT * FROM t ORDER BY id", format: "JSONEachRow" });
say("read", await read.json());

// Insert: objects, and a stream of lines.
await client.command({ query: "CREATE TABLE n (id UInt32, name String, note Nullable(String)) ENGINE = MergeTree ORDER BY id" });
const hard = (await (await client.query({ query: "SELECT name FROM t WHERE id = 1", format: "JSONEachRow" })).json())[0].name;
await client.insert({ table: "n", values: [{ id: 1, name: hard, note: null }, { id: 2, name: "ü", note: "" }], format: "JSONEachRow" });
await client.insert({ table: "n", values: Readable.from([[3, "streamed", null], [4, "𝄞", "x"]]), format: "JSONCompactEachRow" });
const back = await client.query({ query: "SELECT * FROM n ORDER BY id", format: "JSONCompactEachRow" });
say("inserted", await back.json());

const bound = await client.query({
  query: "SELECT id FROM n WHERE name = {name: String} AND id IN {ids: Array(UInt32)}",
  query_params: { name: hard, ids: [1, 2] },
  format: "JSON",
});
say("parameters", (await bound.json()).data);

const big = await client.query({ query: "SELECT number FROM numbers(200000)", format: "JSONCompactEachRow" });
let sum = 0;
for await (const rows of big.stream()) for (const row of rows) sum += Number(row.json()[0]);
say("stream", sum);

const packed = createClient({ ...options, compression: { request: true, response: true } });
await packed.insert({ table: "n", values: Array.from({ length: 10_000 }, (_, id) => ({ id: id + 10, name: "x".repeat(50), note: null })), format: "JSONEachRow" });
say("compressed", await (await packed.query({ query: "SELECT count() AS n, sum(length(name)) AS bytes FROM n WHERE id >= 10", format: "JSONEachRow" })).json());
await packed.close();

const session = createClient({ ...options, session_id: crypto.randomUUID() });
await session.command({ query: "CREATE TEMPORARY TABLE s (a UInt8)" });
await session.insert({ table: "s", values: [{ a: 7 }], format: "JSONEachRow" });
say("session", await (await session.query({ query: "SELECT a FROM s", format: "JSONEachRow" })).json());
await session.close();

const query_id = crypto.randomUUID();
const identified = await client.query({ query: "SELECT getSetting('max_block_size') AS size", query_id, clickhouse_settings: { max_block_size: "1234" }, format: "JSONEachRow" });
say("query id and settings", [identified.query_id === query_id, await identified.json()]);

say("exec", (await client.exec({ query: "SELECT 1 AS a FORMAT CSV" }).then(async ({ stream }) => (await stream.toArray()).join(""))));
say("unknown table", await errorOf(() => client.query({ query: "SELECT * FROM nope" })));
say("violated constraint", await errorOf(async () => {
  await client.command({ query: "CREATE TABLE c (a Int8, CONSTRAINT p CHECK a > 0) ENGINE = MergeTree ORDER BY a" });
  await client.insert({ table: "c", values: [{ a: 1 }, { a: -1 }], format: "JSONEachRow" });
}));
say("error in the stream", await errorOf(async () => {
  const result = await client.query({
    query: "SELECT throwIf(number = 999999) AS a FROM numbers(1000000)",
    format: "JSONEachRow",
    clickhouse_settings: { max_block_size: "1000", max_threads: 1 },
  });
  for await (const rows of result.stream()) void rows;
}));
const stranger = createClient({ ...options, password: "wrong" });
say("wrong password", await errorOf(() => stranger.query({ query: "SELECT 1" })));
await stranger.close();
await client.close();
