-- The design as textbooks have it: metadata joined in the view, a fixed limit, sums in a SummingMergeTree.
CREATE TABLE l1_power_raw
(
    timestamp       DateTime,
    device_id       UInt32,
    power_usage_kWh Float64
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (device_id, timestamp);

CREATE TABLE l2_power_cleaned AS l1_power_raw;

CREATE TABLE device_metadata
(
    device_id     UInt32,
    customer_id   String,
    building_type String,
    latitude      Float64,
    longitude     Float64
)
ENGINE = MergeTree
ORDER BY device_id;

CREATE TABLE l3_power_joined
(
    timestamp       DateTime,
    device_id       UInt32,
    power_usage_kWh Float64,
    customer_id     String,
    building_type   String,
    latitude        Float64,
    longitude       Float64
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (device_id, timestamp);

CREATE TABLE l4_power_agg_hourly
(
    ts_hour       DateTime,
    device_id     UInt32,
    customer_id   String,
    building_type String,
    latitude      Float64,
    longitude     Float64,
    total_kWh     Float64,
    avg_kWh       Float64
)
ENGINE = SummingMergeTree
PARTITION BY toYYYYMM(ts_hour)
ORDER BY (ts_hour, device_id);

CREATE MATERIALIZED VIEW mv_l3_to_l4_hourly TO l4_power_agg_hourly AS
SELECT
    toStartOfHour(timestamp) AS ts_hour,
    device_id,
    customer_id,
    building_type,
    latitude,
    longitude,
    sum(power_usage_kWh) AS total_kWh,
    avg(power_usage_kWh) AS avg_kWh
FROM l3_power_joined
GROUP BY ts_hour, device_id, customer_id, building_type, latitude, longitude;

CREATE MATERIALIZED VIEW mv_l2_to_l3 TO l3_power_joined AS
SELECT
    r.timestamp AS timestamp,
    r.device_id AS device_id,
    r.power_usage_kWh AS power_usage_kWh,
    m.customer_id AS customer_id,
    m.building_type AS building_type,
    m.latitude AS latitude,
    m.longitude AS longitude
FROM l2_power_cleaned AS r
LEFT JOIN device_metadata AS m ON r.device_id = m.device_id;

CREATE MATERIALIZED VIEW mv_l1_to_l2 TO l2_power_cleaned AS
SELECT timestamp, device_id, power_usage_kWh
FROM l1_power_raw
WHERE power_usage_kWh >= 0 AND power_usage_kWh < 100;
