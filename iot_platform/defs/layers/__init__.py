"""L2, quarantine, L3 and L4: a materialization proves a day against its definition; checks look at what is in it."""
