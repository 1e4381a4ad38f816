"""``make bench``: what the layers cost, beside a table without views and beside the textbook design."""
