"""Cases (案件): what the workflow, the clocks and the matters become in the relational store.

alarm or report -> opening -> draft (workflow and clocks in memory) -> saving, in the caller's transaction
a person's step -> steps   -> the same draft                        -> the same saving
"""
