"""CJ/T 188 water, gas and heat meters: the 2004 and the 2018 standard."""
