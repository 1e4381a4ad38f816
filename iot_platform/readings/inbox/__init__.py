"""The inbox: a folder or a bucket in which others put files, from which they are loaded."""
