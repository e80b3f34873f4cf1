def report(count, first): return 0
