"""Every edge to the outside, one folder each: sources, sinks, snapshot stores, the command line."""
