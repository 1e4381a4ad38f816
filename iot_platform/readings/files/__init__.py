"""Read files of readings of any format, also compressed."""
