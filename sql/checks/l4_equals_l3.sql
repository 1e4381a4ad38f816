-- Devices whose energy, readings or metadata of a day differ between L4 and L3. Values that the views cannot produce,
-- such as NaN, count as no energy here. Their number of readings still differs, because L4 cannot hold them. 5e-10 is
-- added to round the energy: toDecimal64 alone would cut it off.
SELECT
    dictGetOrDefault('device_meter_ids', 'meter_id', device_id, toString(device_id)) AS meter_id,
    device_id,
    day,
    map(day, toFloat64(1)) AS by_day,
    sum(kWh_l3) AS kWh_in_l3,
    sum(kWh_l4) AS kWh_in_l4,
    sum(readings_l3) AS readings_in_l3,
    sum(readings_l4) AS readings_in_l4,
    sum(versions_l3) = sum(versions_l4) AS same_metadata
FROM
(
    SELECT
        device_id, toDate(timestamp) AS day,
        sum(toDecimal64(if(isFinite(power_usage_kWh) AND abs(power_usage_kWh) < 1e9, power_usage_kWh + 5e-10, 0), 9)) AS kWh_l3,
        toDecimal128(0, 9) AS kWh_l4,
        count() AS readings_l3, toUInt64(0) AS readings_l4,
        sum(intHash32(version)) AS versions_l3, toUInt64(0) AS versions_l4
    FROM l3_power_joined
    WHERE toDate(timestamp) BETWEEN {first_day:Date} AND {last_day:Date}
    GROUP BY device_id, day
    UNION ALL
    SELECT
        device_id, toDate(ts_hour) AS day,
        toDecimal128(0, 9), sum(total_kWh),
        toUInt64(0), sum(readings),
        toUInt64(0), sum(readings * intHash32(version))
    FROM l4_power_agg_hourly_store
    WHERE toDate(ts_hour) BETWEEN {first_day:Date} AND {last_day:Date}
    GROUP BY device_id, day
)
GROUP BY device_id, day
HAVING kWh_in_l3 != kWh_in_l4 OR readings_in_l3 != readings_in_l4 OR NOT same_metadata
ORDER BY abs(kWh_in_l3 - kWh_in_l4) DESC, device_id, day
