"""JT/T 808 vehicle terminals: the 2011, 2013 and 2019 revisions."""
