"""Read files of readings (CSV or Parquet, also compressed) in constant memory."""
