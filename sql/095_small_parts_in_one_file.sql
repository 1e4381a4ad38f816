-- needs the setting min_bytes_for_full_part_storage
-- A part of less than 10 MB is one file instead of a dozen: an insert of a few rows takes half the time.
ALTER TABLE l1_power_raw MODIFY SETTING min_bytes_for_full_part_storage = 10485760;

ALTER TABLE l2_power_cleaned MODIFY SETTING min_bytes_for_full_part_storage = 10485760;

ALTER TABLE power_quarantine MODIFY SETTING min_bytes_for_full_part_storage = 10485760;

ALTER TABLE l3_power_by_version MODIFY SETTING min_bytes_for_full_part_storage = 10485760;

ALTER TABLE l4_power_hourly_by_version MODIFY SETTING min_bytes_for_full_part_storage = 10485760;

ALTER TABLE l4_power_hourly_by_type MODIFY SETTING min_bytes_for_full_part_storage = 10485760;

ALTER TABLE l4_power_daily_by_version MODIFY SETTING min_bytes_for_full_part_storage = 10485760;
