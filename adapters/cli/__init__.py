"""The command line: the place that joins the halves of the house."""
