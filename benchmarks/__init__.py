"""What is measured, against what, and how to repeat it: `citynerve bench` prints each figure beside its yardstick."""
