"""Small mistakes planted in the guards, one at a time: the fast tests must notice each."""
