"""The documents: their generated pages, the site, and tests that keep them true."""
