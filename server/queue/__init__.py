"""Images that come one by one are computed together: who waits, how long, with whom."""
