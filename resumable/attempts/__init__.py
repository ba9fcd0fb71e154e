"""One lease's HTTP work: the attempt, what its answers mean, and what is said of them."""
