connection: "@{connection}"
label: "IoT power usage"

include: "/views/*.view.lkml"
include: "/dashboards/*.dashboard.lookml"

# day_of_week_index 0 is Monday.
week_start_day: monday

# New readings mostly fall into the hour that is already there: answers are kept for five minutes at most.
datagroup: new_hour {
  label: "New hour"
  description: "An hour with readings has begun."
  sql_trigger: SELECT max(ts_hour) FROM @{database}.l4_power_by_building_type_hourly ;;
  max_cache_age: "5 minutes"
}

persist_with: new_hour

explore: power_usage {
  label: "Power usage"
  description: "Energy used, by hour, meter, customer, building type and place."
}

explore: device_metadata {
  label: "Meters"
  description: "The current meters: owner and place."
}
