"""Do the two ways of drawing random numbers give the same distributions of samples?"""
