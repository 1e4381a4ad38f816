"""``make bench``: the cost of the layers, compared with a table without views and with the textbook design."""
