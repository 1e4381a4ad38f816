"""Formats of files that are not CSV: each opens as a source of rows, which are then read as those of any other file."""
