-- The upper limit of one reading, as data: the most specific row wins (device, then building type, then the default).
-- A reading is valid while 0 <= power_usage_kWh < max_kWh.
CREATE TABLE IF NOT EXISTS power_limits
(
    scope       Enum8('default' = 0, 'building_type' = 1, 'device' = 2) COMMENT 'What the limit applies to',
    key         String COMMENT 'Empty, a building_type, or a device_id in decimal digits',
    max_kWh     Float64 COMMENT 'Readings of this much or more are refused by L2',
    is_removed  UInt8 DEFAULT 0 COMMENT '1: this limit no longer applies',
    recorded_at DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'The newest row of a (scope, key) wins',
    CONSTRAINT max_kWh_fits_the_sums CHECK max_kWh > 0 AND max_kWh <= 1e9,
    CONSTRAINT device_key_is_a_number CHECK scope != 'device' OR match(key, '^[1-9][0-9]{0,9}$')
)
ENGINE = ReplacingMergeTree(recorded_at)
ORDER BY (scope, key)
COMMENT 'Upper limits of a reading: default, per building type, per device';
