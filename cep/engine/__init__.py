"""What turns compiled rules and events into matches: `step`, a function of (program, state, batch)."""
