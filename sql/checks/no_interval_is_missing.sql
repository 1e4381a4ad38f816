-- Missing intervals, per device. A device with readings in the week before is expected to send all day (today: until
-- `late_hours` ago), a new device from its first reading on, and a closed device until it was closed. The length of
-- the interval is `interval_s`. If that is 0, it is the median distance between the device's readings of the day; if that
-- is much longer than in the week before, it is that of the week, so that a day without every second reading is found.
WITH
    recent AS
    (
        SELECT device_id, min(ts_hour) AS first_hour, quantileExact(0.5)(in_hour) AS hourly
        FROM
        (
            -- An hour may have several rows until they are merged.
            SELECT device_id, ts_hour, sum(readings) AS in_hour
            FROM l4_power_agg_hourly_store
            -- Not `toDate(ts_hour) + 7 >= first_day`: it would read all earlier days. No Date is before 1970-01-01.
            WHERE toDate(ts_hour) BETWEEN toDate(greatest({first_day:Date}, toDate('1970-01-08')) - 7) AND {last_day:Date}
            GROUP BY device_id, ts_hour
        )
        GROUP BY device_id
    ),
    closed AS
    (
        SELECT device_id, max(valid_from) AS since FROM device_metadata FINAL
        GROUP BY device_id
        HAVING argMax(is_removed, valid_from)
    ),
    days AS
    (
        SELECT
            device_id,
            toDate(timestamp) AS day,
            arraySort(groupArray(toUnixTimestamp(timestamp))) AS seconds,
            arrayFilter(distance -> distance > 0, arrayDifference(seconds)) AS distances,
            arrayReduce('quantileExact(0.5)', distances) AS median_s,
            seconds[1] AS first,
            seconds[-1] AS last
        FROM l1_power_raw
        WHERE toDate(timestamp) BETWEEN {first_day:Date} AND {last_day:Date}
            AND timestamp < now('UTC') - toIntervalSecond({late_hours:Float64} * 3600)
            AND device_id != 0
        GROUP BY device_id, day
        HAVING length(distances) >= 2
    ),
    gaps AS
    (
        SELECT
            device_id,
            day,
            -- The readings per hour give the interval only roughly; fewer than 4 are too few to use.
            multiIf({interval_s:Float64} > 0, {interval_s:Float64},
                    recent.hourly >= 4 AND median_s > 1.5 * 3600 / recent.hourly, 3600 / recent.hourly,
                    toFloat64(median_s)) AS interval_s,
            toFloat64(toUnixTimestamp(toDateTime(day, 'UTC'))) AS midnight,
            least(midnight + 86400, toFloat64(toUnixTimestamp(now('UTC'))) - {late_hours:Float64} * 3600,
                  if(closed.since > toDateTime(0, 'UTC'), toFloat64(toUnixTimestamp(closed.since)), midnight + 86400)) AS until,
            if(recent.first_hour > toDateTime(0, 'UTC') AND toDate(recent.first_hour) < day,
               floor((first - midnight) / interval_s), 0) AS missing_before,
            arraySum(distance -> if(distance > 1.5 * interval_s, round(distance / interval_s) - 1, 0), distances) AS missing_between,
            -- 0.25: a clock that runs slightly early leaves slightly more than one interval after its last reading.
            greatest(ceil((until - last) / interval_s - 0.25) - 1, 0) AS missing_after,
            missing_before + missing_between + missing_after AS missing,
            greatest(toFloat64(arrayMax(distances)), first - midnight, until - last) AS longest_s
        FROM days
        LEFT JOIN recent USING (device_id)
        LEFT JOIN closed USING (device_id)
    )
SELECT
    dictGetOrDefault('device_meter_ids', 'meter_id', device_id, toString(device_id)) AS meter_id,
    device_id,
    sum(missing) AS intervals,
    sumMap(map(day, toFloat64(missing))) AS by_day,
    round(any(interval_s)) AS interval_s,
    max(longest_s) AS longest_gap_s
FROM gaps
WHERE missing > 0
GROUP BY device_id
ORDER BY intervals DESC, device_id
