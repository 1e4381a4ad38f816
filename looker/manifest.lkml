project_name: "iot_platform"

# Set both for your Looker: in a copy of this file, or by a project that imports this one.
constant: connection {
  value: "iot_platform"
  export: override_required
}

constant: database {
  value: "iot"
  export: override_optional
}
