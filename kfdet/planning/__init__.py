"""Who trains, who evaluates, and on which frames."""
