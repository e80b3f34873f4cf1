"""Complex event processing on streams: rules that read aloud, exact alerts."""
