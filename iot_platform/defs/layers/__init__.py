"""L2, quarantine, L3 and L4: a materialization verifies a day against its definition; checks verify its contents."""
