view: power_usage {
  label: "Power usage"

  # The smallest table that has what is asked. Each holds the same energy; a check compares them.
  # By meter, customer or place: the rows by hour, or, when no hour is asked for, the mart by day.
  # Without those: the mart by hour, zone and building type.
  sql_table_name:
    {% if power_usage.device_id._in_query or power_usage.meter_id._in_query or power_usage.customer_id._in_query or power_usage.location._in_query or power_usage.place._in_query or power_usage.devices._in_query or power_usage.customers._in_query %}
      {% if power_usage.time_zone._in_query or power_usage.local_day_is_complete._in_query or power_usage.local_hour_parts._in_query or power_usage.kwh_by_local_hour_part._in_query or power_usage.time_raw._in_query or power_usage.time_hour._in_query or power_usage.time_hour_of_day._in_query or power_usage.local_time_raw._in_query or power_usage.local_time_hour._in_query or power_usage.local_time_date._in_query or power_usage.local_time_week._in_query or power_usage.local_time_month._in_query or power_usage.local_time_hour_of_day._in_query or power_usage.local_time_day_of_week._in_query or power_usage.local_time_day_of_week_index._in_query or power_usage.hours._in_query or power_usage.local_hours._in_query or power_usage.average_kwh_per_hour._in_query or power_usage.average_kwh_per_local_hour._in_query %}
        @{database}.l4_power_agg_hourly_store
      {% else %}
        @{database}.l4_power_by_device_daily
      {% endif %}
    {% else %}
      @{database}.l4_power_by_building_type_hourly
    {% endif %} ;;

  dimension_group: time {
    type: time
    label: "UTC"
    group_label: "Time (UTC)"
    description: "Hour of the reading, UTC."
    timeframes: [raw, hour, date, week, month, quarter, year, hour_of_day, day_of_week, day_of_week_index]
    datatype: datetime
    convert_tz: no
    sql: ${TABLE}.ts_hour ;;
  }

  dimension_group: local_time {
    type: time
    label: "Local"
    group_label: "Time (local)"
    description: "Hour of the reading in local time at the site, with daylight saving time."
    timeframes: [raw, hour, date, week, month, hour_of_day, day_of_week, day_of_week_index]
    datatype: datetime
    convert_tz: no
    sql: ${TABLE}.local_hour ;;
  }

  dimension: local_day_is_complete {
    type: yesno
    label: "Local day is complete"
    description: "Whether the day is over in all time zones."
    sql: ${TABLE}.local_hour < toStartOfDay(now('UTC') - toIntervalHour(12)) ;;
  }

  dimension: device_id {
    type: number
    label: "Meter number"
    description: "The number of the meter (device) in the database."
    value_format: "0"
    sql: ${TABLE}.device_id ;;
  }

  dimension: meter_id {
    type: string
    label: "Meter"
    description: "The meter's own id, as its source writes it."
    sql: ${TABLE}.meter_id ;;
  }

  dimension: customer_id {
    type: string
    label: "Customer"
    description: "Customer at that time; empty without metadata."
    sql: ${TABLE}.customer_id ;;
  }

  dimension: building_type {
    type: string
    label: "Building type"
    description: "Building type at that time; unknown without metadata."
    sql: ${TABLE}.building_type ;;
  }

  dimension: location {
    type: location
    label: "Location"
    description: "Position of the meter, to about 1 m."
    sql_latitude: round(${TABLE}.latitude, 5) ;;
    sql_longitude: round(${TABLE}.longitude, 5) ;;
  }

  dimension: place {
    type: location
    label: "Place"
    description: "Position of the meter, to about 100 m: the meters of one site are one place."
    sql_latitude: round(${TABLE}.latitude, 3) ;;
    sql_longitude: round(${TABLE}.longitude, 3) ;;
  }

  dimension: time_zone {
    type: string
    label: "Time zone"
    description: "IANA time zone of the site; UTC if unknown."
    sql: ${TABLE}.time_zone ;;
  }

  dimension: metadata_known {
    type: yesno
    label: "Has metadata"
    description: "Whether the meter had metadata at that time."
    sql: ${TABLE}.has_metadata = 1 ;;
  }

  # The sum of decimals is exact, but Looker reads a decimal as a text.
  measure: exact_kwh {
    type: sum
    hidden: yes
    description: "Energy in kWh as an exact decimal."
    sql: ${TABLE}.total_kWh ;;
  }

  measure: total_kwh {
    type: number
    label: "Energy"
    group_label: "Energy"
    description: "Energy used, in kWh."
    value_format: "#,##0.0\" kWh\""
    sql: toFloat64(${exact_kwh}) ;;
    drill_fields: [time_date, meter_id, customer_id, building_type, total_kwh]
  }

  measure: peak_kwh {
    type: max
    label: "Largest reading"
    group_label: "Energy"
    description: "Largest single reading, in kWh per interval."
    value_format: "#,##0.000\" kWh\""
    sql: ${TABLE}.max_kWh ;;
    drill_fields: [time_hour, meter_id, customer_id, building_type, peak_kwh]
  }

  measure: average_kwh_per_reading {
    type: number
    label: "Average per reading"
    group_label: "Averages"
    description: "Energy divided by the number of readings: kWh per interval and meter."
    value_format: "#,##0.000\" kWh\""
    sql: ${total_kwh} / nullIf(${reading_count}, 0) ;;
    drill_fields: [time_date, meter_id, building_type, average_kwh_per_reading]
  }

  measure: average_kwh_per_hour {
    type: number
    label: "Average per hour"
    group_label: "Averages"
    description: "Energy of all meters together, divided by the UTC hours with readings, in kWh."
    value_format: "#,##0.0\" kWh\""
    sql: ${total_kwh} / nullIf(${hours}, 0) ;;
    drill_fields: [time_date, building_type, average_kwh_per_hour]
  }

  # In a zone that is off by a half hour, hourly readings are always in the same half of the hours: all hours count. Other
  # hours with readings in one half only are cut: they are left out or, in a zone with no others, count by their minutes.
  measure: average_kwh_per_local_hour {
    type: number
    label: "Average per local hour"
    group_label: "Averages"
    description: "Average energy of all meters together in an hour of the local clock, in kWh: for each time zone the energy of its complete hours divided by their number, then the sum over the zones. Hours that the filters cut and the present hour are left out."
    value_format: "#,##0.0\" kWh\""
    sql:
      arrayMap(
        found -> if(empty(found), NULL, arraySum(
          parts -> multiIf(
            NOT (has(tupleElement(parts, 2), 1) AND has(tupleElement(parts, 2), 2))
              AND (arrayCount(part -> part.2 < 3, parts) > 1
                OR has(tupleElement(parts, 2), 1) AND NOT has(tupleElement(parts, 5), 1)),
            toFloat64(arraySum(part -> part.6, parts)) * 60 / arraySum(part -> part.4, parts),
            NOT has(tupleElement(parts, 5), 1),
            toFloat64(arraySum(part -> part.6, parts)) * 60 / arraySum(part -> part.3, parts),
            toFloat64(arraySum(part -> part.5 * part.6, parts)) * 60 / arraySum(part -> part.5 * part.3, parts)),
          arrayMap(
            zone -> arrayFilter(part -> part.1 = zone, found),
            arrayDistinct(tupleElement(found, 1))))),
        [${local_hour_parts}])[1] ;;
    drill_fields: [local_time_date, building_type, average_kwh_per_local_hour]
  }

  # local_hour_part is described in sql/093_views_over_versions.sql. The keys of a map are sorted, so the parts of an hour
  # are neighbours.
  measure: local_hour_parts {
    type: number
    hidden: yes
    description: "The parts of local hours that are over: an array of zone, half (1: the second half of an hour, 2: the first, 3: a whole hour, or any part of one in which the clock changes), minutes, minutes if the zone has no readings in the other half, 1 if the hour is complete, kWh, and the end of the hour as Unix time."
    sql:
      arrayMap(
        totals -> arrayFilter(
          part -> part.7 <= toUnixTimestamp(toStartOfHour(now('UTC'))),
          arrayMap(
            (part, before, after, kWh) -> (
              bitShiftRight(part, 48),
              if(bitAnd(bitShiftRight(part, 8), 255) = 60, bitAnd(part, 3), 3),
              bitAnd(bitShiftRight(part, 2), 63),
              if(bitAnd(bitShiftRight(part, 8), 255) = 60, 60, bitAnd(bitShiftRight(part, 2), 63)),
              bitAnd(part, 3) = 3
                OR bitShiftRight(part, 8) = bitShiftRight(before, 8)
                OR bitShiftRight(part, 8) = bitShiftRight(after, 8),
              kWh,
              bitAnd(bitShiftRight(part, 16), 4294967295) + 60 * bitAnd(bitShiftRight(part, 8), 255)),
            mapKeys(totals),
            arrayShiftRight(mapKeys(totals), 1),
            arrayShiftLeft(mapKeys(totals), 1),
            mapValues(totals))),
        [${kwh_by_local_hour_part}])[1] ;;
  }

  measure: kwh_by_local_hour_part {
    type: number
    hidden: yes
    description: "Energy in kWh, as exact decimals, by part of a local hour: a map."
    sql: sumMap(map(${TABLE}.local_hour_part, ${TABLE}.total_kWh)) ;;
  }

  measure: hours {
    type: count_distinct
    label: "Hours"
    group_label: "Counts"
    description: "Number of UTC hours with readings."
    value_format: "#,##0"
    sql: ${TABLE}.ts_hour ;;
  }

  measure: local_hours {
    type: count_distinct
    label: "Local hours"
    group_label: "Counts"
    description: "Number of local hours with readings, of all time zones together: hours with the same date and time count once."
    value_format: "#,##0"
    sql: ${TABLE}.local_hour ;;
  }

  measure: devices {
    type: count_distinct
    label: "Meters"
    group_label: "Counts"
    description: "Number of meters with readings."
    value_format: "#,##0"
    sql: ${TABLE}.device_id ;;
    drill_fields: [meter_id, customer_id, building_type, total_kwh]
  }

  measure: customers {
    type: count_distinct
    label: "Customers"
    group_label: "Counts"
    description: "Number of customers with readings; all meters without a customer count as one."
    value_format: "#,##0"
    sql: ${TABLE}.customer_id ;;
    drill_fields: [customer_id, devices, total_kwh]
  }

  measure: reading_count {
    type: sum
    label: "Readings"
    group_label: "Counts"
    description: "Number of readings."
    value_format: "#,##0"
    sql: ${TABLE}.readings ;;
    drill_fields: [time_date, meter_id, reading_count]
  }

  measure: readings_with_metadata {
    type: sum
    hidden: yes
    description: "Number of readings with metadata."
    sql: ${TABLE}.readings * ${TABLE}.has_metadata ;;
  }

  measure: exact_kwh_with_metadata {
    type: sum
    hidden: yes
    description: "Energy with metadata, in kWh as an exact decimal."
    sql: ${TABLE}.total_kWh * ${TABLE}.has_metadata ;;
  }

  measure: share_with_metadata {
    type: number
    label: "Readings with metadata"
    group_label: "Quality"
    description: "Share of the readings with metadata."
    value_format: "0.0%"
    sql: ${readings_with_metadata} / nullIf(${reading_count}, 0) ;;
    drill_fields: [time_date, meter_id, share_with_metadata]
  }

  measure: share_of_energy_with_metadata {
    type: number
    label: "Energy with metadata"
    group_label: "Quality"
    description: "Share of the energy with metadata."
    value_format: "0.0%"
    sql: toFloat64(${exact_kwh_with_metadata}) / nullIf(${total_kwh}, 0) ;;
    drill_fields: [time_date, meter_id, share_of_energy_with_metadata]
  }
}
