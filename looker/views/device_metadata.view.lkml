view: device_metadata {
  label: "Meters"
  sql_table_name: @{database}.device_current_versions ;;

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
    description: "Current customer; empty if the meter was removed."
    sql: ${TABLE}.customer_id ;;
  }

  dimension: building_type {
    type: string
    label: "Building type"
    description: "Building type; unknown if the meter was removed."
    sql: ${TABLE}.building_type ;;
  }

  dimension: location {
    type: location
    label: "Location"
    description: "Position of the meter, to about 1 m."
    sql_latitude: round(${TABLE}.latitude, 5) ;;
    sql_longitude: round(${TABLE}.longitude, 5) ;;
  }

  dimension: time_zone {
    type: string
    label: "Time zone"
    description: "IANA time zone of the site; UTC if unknown."
    sql: ${TABLE}.time_zone ;;
  }

  dimension: in_use {
    type: yesno
    label: "In use"
    description: "No if the meter was removed from the metadata source."
    sql: ${TABLE}.has_metadata = 1 ;;
  }

  dimension_group: valid_from {
    type: time
    label: "Valid from"
    group_label: "Valid from (UTC)"
    description: "Start of the current version; 1970 if it was always valid."
    timeframes: [raw, date, month, year]
    datatype: datetime
    convert_tz: no
    sql: ${TABLE}.valid_from ;;
  }

  measure: devices {
    type: count_distinct
    label: "Meters"
    description: "Number of meters."
    value_format: "#,##0"
    sql: ${TABLE}.device_id ;;
    drill_fields: [meter_id, customer_id, building_type, location]
  }

  measure: customers {
    type: count_distinct
    label: "Customers"
    description: "Number of customers; all meters without a customer count as one."
    value_format: "#,##0"
    sql: ${TABLE}.customer_id ;;
    drill_fields: [customer_id, devices]
  }
}
