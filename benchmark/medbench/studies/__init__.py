"""Studies: data sets × models × recipes × seeds × folds, on one machine or many."""
