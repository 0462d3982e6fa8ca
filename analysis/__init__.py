"""What the aligned descriptions are worth: accuracy, judge verdicts, breakdown and report."""
