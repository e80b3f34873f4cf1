"""Nothing lost, nothing twice: the loop around a detector, its history, its recovery and its caution."""
