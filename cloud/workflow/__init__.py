"""How a case goes from its report to its end: states, the table of steps, and the one function that takes a step."""
