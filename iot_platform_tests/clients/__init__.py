"""Other people's clients against a running embedded server."""
