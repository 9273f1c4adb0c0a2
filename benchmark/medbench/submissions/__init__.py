"""Submissions: containers and bundles for the platforms of challenges, built, linted and rehearsed."""
