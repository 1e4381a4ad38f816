-- The materialized views of 092 take the names of those that 093 has dropped. (In a file of its own: were it applied in
-- part and run again, 093 would drop them.)
RENAME TABLE IF EXISTS mv_l2_to_l3_by_version TO mv_l2_to_l3;

RENAME TABLE IF EXISTS mv_l3_to_l4_hourly_by_version TO mv_l3_to_l4_hourly;
