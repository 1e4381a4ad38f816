- dashboard: power_overview
  title: Power overview
  description: Energy used, by time, building type, meter and place.
  preferred_viewer: dashboards-next
  layout: newspaper
  crossfilter_enabled: true
  filters_location_top: true
  refresh: 5 minutes

  filters:
  - name: period
    title: Period
    type: field_filter
    default_value: 30 day
    allow_multiple_values: false
    required: true
    ui_config:
      type: relative_timeframes
      display: inline
      options:
      - this day
      - 7 day
      - 30 day
      - 90 day
      - 180 day
    model: iot_platform
    explore: power_usage
    field: power_usage.time_date

  - name: building_type
    title: Building type
    type: field_filter
    default_value: ''
    allow_multiple_values: true
    required: false
    ui_config:
      type: tag_list
      display: popover
    model: iot_platform
    explore: power_usage
    field: power_usage.building_type

  - name: customer
    title: Customer
    type: field_filter
    default_value: ''
    allow_multiple_values: true
    required: false
    ui_config:
      type: tag_list
      display: popover
    model: iot_platform
    explore: power_usage
    field: power_usage.customer_id

  - name: device
    title: Meter
    type: field_filter
    default_value: ''
    allow_multiple_values: true
    required: false
    ui_config:
      type: advanced
      display: popover
    model: iot_platform
    explore: power_usage
    field: power_usage.meter_id

  elements:
  - name: total
    title: Energy
    type: single_value
    model: iot_platform
    explore: power_usage
    fields: [power_usage.total_kwh]
    limit: 500
    listen:
      period: power_usage.time_date
      building_type: power_usage.building_type
      customer: power_usage.customer_id
      device: power_usage.meter_id
    row: 0
    col: 0
    width: 6
    height: 3

  - name: meters
    title: Meters
    type: single_value
    model: iot_platform
    explore: power_usage
    fields: [power_usage.devices]
    limit: 500
    listen:
      period: power_usage.time_date
      building_type: power_usage.building_type
      customer: power_usage.customer_id
      device: power_usage.meter_id
    row: 0
    col: 6
    width: 6
    height: 3

  - name: peak
    title: Largest reading
    type: single_value
    model: iot_platform
    explore: power_usage
    fields: [power_usage.peak_kwh]
    limit: 500
    listen:
      period: power_usage.time_date
      building_type: power_usage.building_type
      customer: power_usage.customer_id
      device: power_usage.meter_id
    row: 0
    col: 12
    width: 6
    height: 3

  - name: with_metadata
    title: Readings with metadata
    type: single_value
    model: iot_platform
    explore: power_usage
    fields: [power_usage.share_with_metadata]
    limit: 500
    listen:
      period: power_usage.time_date
      building_type: power_usage.building_type
      customer: power_usage.customer_id
      device: power_usage.meter_id
    row: 0
    col: 18
    width: 6
    height: 3

  - name: usage_over_time
    title: Usage over time
    note:
      text: Energy per UTC hour. Beyond 5,000 hours (208 days), the newest hours are shown.
      state: collapsed
      display: hover
    type: looker_area
    model: iot_platform
    explore: power_usage
    fields: [power_usage.time_hour, power_usage.building_type, power_usage.total_kwh]
    pivots: [power_usage.building_type]
    sorts: [power_usage.time_hour desc, power_usage.building_type]
    limit: 5000
    column_limit: 50
    listen:
      period: power_usage.time_date
      building_type: power_usage.building_type
      customer: power_usage.customer_id
      device: power_usage.meter_id
    stacking: normal
    interpolation: linear
    point_style: none
    show_null_points: true
    x_axis_scale: time
    show_x_axis_label: false
    y_axis_gridlines: true
    x_axis_gridlines: false
    show_view_names: false
    legend_position: center
    row: 3
    col: 0
    width: 24
    height: 8

  - name: usage_by_hour_of_day
    title: Usage by hour of day
    note:
      text: The present hour, and hours that the ends of the period (UTC) cut, are left out.
      state: collapsed
      display: hover
    type: looker_column
    model: iot_platform
    explore: power_usage
    fields: [power_usage.local_time_hour_of_day, power_usage.average_kwh_per_local_hour]
    sorts: [power_usage.local_time_hour_of_day]
    limit: 500
    listen:
      period: power_usage.time_date
      building_type: power_usage.building_type
      customer: power_usage.customer_id
      device: power_usage.meter_id
    x_axis_scale: ordinal
    show_x_axis_label: true
    y_axis_gridlines: true
    x_axis_gridlines: false
    show_view_names: false
    row: 11
    col: 0
    width: 12
    height: 7

  - name: usage_by_day_of_week
    title: Usage by day of week
    note:
      text: 0 is Monday. Days that are not over in all time zones are left out. The period is in local time.
      state: collapsed
      display: hover
    type: looker_column
    model: iot_platform
    explore: power_usage
    fields: [power_usage.local_time_day_of_week_index, power_usage.average_kwh_per_local_hour]
    sorts: [power_usage.local_time_day_of_week_index]
    filters:
      power_usage.local_day_is_complete: 'Yes'
    limit: 500
    listen:
      period: power_usage.local_time_date
      building_type: power_usage.building_type
      customer: power_usage.customer_id
      device: power_usage.meter_id
    x_axis_scale: ordinal
    show_x_axis_label: true
    y_axis_gridlines: true
    x_axis_gridlines: false
    show_view_names: false
    row: 11
    col: 12
    width: 12
    height: 7

  - name: building_types
    title: Building types compared
    note:
      text: Average energy per reading, so that the number of meters or hours of a building type does not matter.
      state: collapsed
      display: hover
    type: looker_bar
    model: iot_platform
    explore: power_usage
    fields: [power_usage.building_type, power_usage.average_kwh_per_reading]
    sorts: [power_usage.average_kwh_per_reading desc]
    limit: 500
    listen:
      period: power_usage.time_date
      building_type: power_usage.building_type
      customer: power_usage.customer_id
      device: power_usage.meter_id
    show_value_labels: true
    y_axis_gridlines: false
    x_axis_gridlines: false
    show_view_names: false
    row: 18
    col: 0
    width: 12
    height: 7

  - name: top_devices
    title: Top 10 meters of the last 24 hours
    note:
      text: The meters with the highest usage in this hour and the 23 hours before, whatever the period.
      state: collapsed
      display: hover
    type: looker_bar
    model: iot_platform
    explore: power_usage
    fields: [power_usage.meter_id, power_usage.total_kwh]
    filters:
      power_usage.time_hour: 24 hours
    sorts: [power_usage.total_kwh desc]
    limit: 10
    listen:
      building_type: power_usage.building_type
      customer: power_usage.customer_id
      device: power_usage.meter_id
    show_value_labels: true
    y_axis_gridlines: false
    x_axis_gridlines: false
    show_view_names: false
    row: 18
    col: 12
    width: 12
    height: 7

  - name: map
    title: Where it is used
    note:
      text: Each circle is a place (about 100 m) and a building type; its size is the energy used there. Beyond 5,000 places, only 5,000 are shown. Meters without metadata have no place.
      state: collapsed
      display: hover
    type: looker_google_map
    model: iot_platform
    explore: power_usage
    fields: [power_usage.place, power_usage.building_type, power_usage.total_kwh, power_usage.devices]
    pivots: [power_usage.building_type]
    filters:
      power_usage.metadata_known: 'Yes'
    sorts: [power_usage.building_type]
    limit: 5000
    column_limit: 50
    listen:
      period: power_usage.time_date
      building_type: power_usage.building_type
      customer: power_usage.customer_id
      device: power_usage.meter_id
    map_plot_mode: points
    map_position: fit_data
    map_marker_type: circle
    map_marker_radius_mode: proportional_value
    map_marker_units: pixels
    map_marker_radius_min: 4
    map_marker_radius_max: 30
    map_marker_proportional_scale_type: linear
    map_marker_color_mode: fixed
    map_marker_color: ['#2a78d6', '#1baf7a', '#eda100', '#008300', '#4a3aa7', '#e34948']
    show_legend: true
    show_view_names: false
    row: 25
    col: 0
    width: 24
    height: 12
