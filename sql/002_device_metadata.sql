-- Slowly changing: one row per version of a device. A version holds from valid_from until the next one of the same
-- device. Importing the same version twice leaves one (newest recorded_at), so it can never multiply readings.
CREATE TABLE IF NOT EXISTS device_metadata
(
    device_id     UInt32 COMMENT 'The meter',
    customer_id   String COMMENT 'Who pays for it',
    building_type LowCardinality(String) COMMENT 'Kind of building it measures',
    latitude      Float64 COMMENT 'Degrees north, WGS 84',
    longitude     Float64 COMMENT 'Degrees east, WGS 84',
    valid_from    DateTime('UTC') DEFAULT toDateTime(0, 'UTC')
        COMMENT 'Whole UTC hour from which this version holds; 1970-01-01: since ever',
    is_removed    UInt8 DEFAULT 0 COMMENT '1: from valid_from on the device has no metadata',
    recorded_at   DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'When the platform learned of this version',
    CONSTRAINT valid_from_is_a_whole_hour CHECK toUnixTimestamp(valid_from) % 3600 = 0
)
ENGINE = ReplacingMergeTree(recorded_at)
ORDER BY (device_id, valid_from)
COMMENT 'Device metadata with its history (slowly changing dimension, type 2)';
