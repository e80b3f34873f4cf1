"""Files as sources of events, as sinks of alerts and as a store of snapshots."""
