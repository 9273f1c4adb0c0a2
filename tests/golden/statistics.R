# Reference numbers of paired tests and rankings, by base R alone.
options(digits = 17)
num <- function(x) ifelse(is.na(x), "null", formatC(x, digits = 17, format = "g"))
vec <- function(x) paste0("[", paste(num(x), collapse = ", "), "]")
mat <- function(m) paste0("[", paste(apply(m, 1, vec), collapse = ",\n  "), "]")

paired <- c()
for (seed in 1:20) {
  set.seed(seed)
  n <- c(6, 7, 8, 9, 10, 12, 13, 20, 30, 49, 50, 60, 80, 100, 150, 200, 300, 400, 500, 25)[seed]
  first <- runif(n, 0.3, 0.9)
  second <- first + rnorm(n, 0.02, 0.05)
  d <- second - first
  exact <- n <= 50
  w <- wilcox.test(second, first, paired = TRUE, exact = exact, correct = FALSE)$p.value
  g <- wilcox.test(second, first, paired = TRUE, exact = exact, correct = FALSE, alternative = "greater")$p.value
  margin <- 0.03
  t1 <- t.test(d, mu = -margin, alternative = "greater")$p.value
  t2 <- t.test(d, mu = margin, alternative = "less")$p.value
  perm <- NA
  if (n <= 13) {
    s <- as.matrix(expand.grid(rep(list(c(1, -1)), n)))
    perm <- mean(abs(s %*% d) >= abs(sum(d)) - 1e-9)
  }
  paired <- c(paired, sprintf('{"first": %s,\n "second": %s,\n "wilcoxon": %s, "wilcoxon_greater": %s, "margin": 0.03, "equivalence": %s, "permutation": %s, "standard_error": %s}',
    vec(first), vec(second), num(w), num(g), num(max(t1, t2)), num(perm), num(sd(d) / sqrt(n))))
}
set.seed(99)
ps <- lapply(1:20, function(i) runif(sample(2:12, 1))^2)
holm <- sapply(ps, function(p) sprintf('{"p": %s, "holm": %s}', vec(p), vec(p.adjust(p, "holm"))))
cat(paste0('{"made_by": "', R.version.string, '",\n"paired": [', paste(paired, collapse = ",\n"), '],\n"holm": [', paste(holm, collapse = ",\n"), "]}\n"), file = "paired_r.json")

rank_all <- function(v, higher) { # v: entries x cases
  g <- if (higher) -v else v
  k <- nrow(v)
  atr <- rank(rowMeans(g), ties.method = "min")
  med <- rank(apply(g, 1, median), ties.method = "min")
  percase <- apply(g, 2, rank, ties.method = "min")
  rta <- rank(rowMeans(percase), ties.method = "min")
  wins <- numeric(k)
  p <- matrix(NA, k, k)
  for (i in 1:k) for (j in 1:k) if (i != j) {
    pij <- suppressWarnings(wilcox.test(v[i, ], v[j, ], paired = TRUE, exact = FALSE, alternative = if (higher) "greater" else "less")$p.value)
    p[i, j] <- pij
    if (!is.nan(pij) && pij <= 0.05) wins[i] <- wins[i] + 1
  }
  ttr <- rank(-wins, ties.method = "min")
  sprintf('"aggregate": %s, "median": %s, "rank_then_aggregate": %s, "test": %s, "p": %s', vec(atr), vec(med), vec(rta), vec(ttr), mat(p))
}
perms <- function(x) if (length(x) <= 1) list(x) else do.call(c, lapply(seq_along(x), function(i) lapply(perms(x[-i]), function(p) c(x[i], p))))
boards <- list()
n <- 50
set.seed(4); strip <- runif(n, .9, 1)
ideal <- rbind(runif(n, .9, 1), runif(n, .8, .89), runif(n, .7, .79), runif(n, .6, .69), runif(n, .5, .59))
set.seed(1); random <- matrix(plogis(rnorm(5 * n, 1.5, 1)), nrow = 5, byrow = TRUE)
orders <- perms(1:5)
worst <- sapply(orders, function(o) { v <- numeric(5); v[o] <- seq(.8, 1, length.out = 5); v })
boards[["example: ideal"]] <- list(ideal, TRUE)
boards[["example: random"]] <- list(random, TRUE)
boards[["example: worst case"]] <- list(worst, TRUE)
set.seed(11); boards[["simulated: distances"]] <- list(matrix(exp(rnorm(6 * 30, 2, .5)), 6) + (0:5) * 0.8, FALSE)
set.seed(12); boards[["simulated: ties"]] <- list(matrix(round(pmin(1, rnorm(4 * 25, .9, .1)), 2), 4), TRUE)
set.seed(13); boards[["simulated: close"]] <- list(matrix(rbeta(8 * 60, 9, 2), 8) + (0:7) * 0.005, TRUE)
out <- sapply(names(boards), function(nm) { b <- boards[[nm]]; sprintf('{"name": "%s", "higher": %s, "values": %s,\n %s}', nm, tolower(b[[2]]), mat(b[[1]]), rank_all(b[[1]], b[[2]])) })
cat(paste0('{"made_by": "', R.version.string, '",\n"boards": [', paste(out, collapse = ",\n"), "]}\n"), file = "rankings_r.json")
