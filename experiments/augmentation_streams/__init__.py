"""Do shared and separate random streams give the same distributions of samples?"""
