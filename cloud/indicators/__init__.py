"""Evaluation indicators (评价指标): what is counted of cases, by whom it is owed, and how it is printed."""
